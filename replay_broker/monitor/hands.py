"""The machine's keyboards, mice and tablets, wherever they are plugged in, and events on their way to them.

Lives here: which device an event is for, and what its HostInput looks like.
Never here: languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.icount import FIRST_DEVICE
from machine.input_events import EV_ABS, EV_KEY, EV_REL, REL_WHEEL, pack_group
from machine.message import HostEvent, HostInput
from replay_broker.monitor.answer import NO_DEVICE, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from machine.board import Board
    from machine.input_events import Event

KEYBOARD: Final = "kbd"
MOUSE: Final = "mouse"
TABLET: Final = "tablet"
USB_DATA: Final = 1
"""`what` of a port's data (docs/devices.md, USB): input events for a keyboard or a mouse."""
LAST_BUTTON: Final = 0x15F
"""Mouse and digitizer buttons: BTN_MISC to the last BTN_TOOL of Linux's input-event-codes.h."""
FIRST_BUTTON: Final = 0x100


@dataclass(frozen=True, slots=True)
class Sink:
    """One input device: its node, and its port where it hangs on a USB controller (0: it is a node of its own)."""

    node: int
    name: str
    kind: str
    port: int = 0

    @property
    def head(self) -> bytes:
        """What stands in front of its events."""
        return bytes((self.port, USB_DATA)) if self.port else b""

    def input(self, events: Iterable[Event], delay_ns: int = 0) -> HostInput:
        """A group of events as what its node is told."""
        return HostInput(HostEvent.DATA, self.head + pack_group(events), delay_ns)


def find_sinks(board: Board, words: Mapping[str, str]) -> list[Sink]:
    """The input devices of a machine, by the boards' order; `words` are the backends by device, as they are now."""
    sinks = []
    for node, slot in enumerate(board.devices, FIRST_DEVICE):
        if slot.kind == "input":
            sinks.append(Sink(node, slot.name, str(dict(slot.options).get("type", KEYBOARD))))
        elif slot.kind == "usb":
            for port, word in enumerate(words[slot.name].split(";"), 1):
                kind = word.partition(",")[0]
                if kind in (KEYBOARD, MOUSE):
                    sinks.append(Sink(node, slot.name, kind, port))
    # A device on the board's own bus is asked before one on USB.
    return sorted(sinks, key=lambda sink: sink.port > 0)


def sort_events(events: Sequence[Event], sinks: Sequence[Sink], device: str = "") -> list[tuple[Sink, list[Event]]]:
    """Each sink's part of a group, in the order in which they come first; CommandError if one has no place to go.

    Of all devices, or of the named one's: keys are the first keyboard's, places the first tablet's, movements the first
    mouse's; buttons and the wheel belong to the pointer that the group moves, to a mouse if it moves none.
    """
    if device:
        sinks = [sink for sink in sinks if sink.name == device]
        if not sinks:
            raise CommandError(f"Device '{device}' not found", NO_DEVICE)
    absolute = any(event.type == EV_ABS for event in events)
    parts: dict[Sink, list[Event]] = {}
    for event in events:
        parts.setdefault(_sink_for(event, sinks, absolute=absolute), []).append(event)
    return list(parts.items())


def keyboard(sinks: Sequence[Sink]) -> Sink:
    """The first keyboard; CommandError if there is none."""
    return _first(sinks, (KEYBOARD,), "key")


def _sink_for(event: Event, sinks: Sequence[Sink], *, absolute: bool) -> Sink:
    if event.type == EV_KEY and not is_button(event.code):
        return keyboard(sinks)
    if event.type == EV_ABS:
        return _first(sinks, (TABLET,), "place")
    if event.type == EV_REL and event.code != REL_WHEEL:
        return _first(sinks, (MOUSE,), "movement")
    return _first(sinks, (TABLET, MOUSE) if absolute else (MOUSE, TABLET), "button")


def is_button(code: int) -> bool:
    """Whether a key's code is a pointer's button."""
    return FIRST_BUTTON <= code <= LAST_BUTTON


def _first(sinks: Sequence[Sink], kinds: Sequence[str], what: str) -> Sink:
    for kind in kinds:
        for sink in sinks:
            if sink.kind == kind:
                return sink
    raise CommandError(f"this machine has no {' or '.join(kinds)} for a {what}; give it one: --input {kinds[0]}")
