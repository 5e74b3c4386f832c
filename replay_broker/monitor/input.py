"""Commands that press keys and move mice: recorded inputs of the guest's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from machine.input_events import BUTTONS, EV_KEY, EV_REL, REL_WHEEL, REL_X, REL_Y, VALUE_MAX, Event
from machine.keycodes import KEY_POWER
from replay_broker.monitor.answer import CommandError
from replay_broker.monitor.arguments import Argument, Members
from replay_broker.monitor.command import Command
from replay_broker.monitor.events import parse_events, parse_key
from replay_broker.monitor.hands import keyboard, sort_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from replay_broker.monitor.machine import Machine

HOLD_MS: Final = 100
"""How long `send-key` holds its keys when it is not told, QEMU's."""
LONGEST_HOLD_MS: Final = 3_600_000
NS_PER_MS: Final = 1_000_000
BUTTON_BITS: Final = (("left", 1), ("middle", 2), ("right", 4))
"""`mouse_button`'s bits."""


def _send_event(machine: Machine, given: Mapping[str, Any]) -> None:
    """QMP's input-send-event: all events happen at once.  `head` counts screens, of which there are none."""
    deliver(machine, parse_events(given["events"]), given.get("device", ""))


def deliver(machine: Machine, events: Sequence[Event], device: str = "") -> None:
    """Bring one group of events to the devices they belong to; CommandError if one has no place to go."""
    _must_run(machine)
    parts = sort_events(events, machine.sinks(), device)
    machine.send([(sink.node, sink.input(part)) for sink, part in parts])


def _send_key(machine: Machine, given: Mapping[str, Any]) -> None:
    """QMP's send-key."""
    codes = []
    for number, value in enumerate(given["keys"]):
        codes.append(parse_key(Members(value, f"keys[{number}]")))
    press(machine, codes, given.get("hold-time", HOLD_MS))


def press(machine: Machine, codes: Sequence[int], hold_ms: int = HOLD_MS) -> None:
    """Press keys in this order, hold them in virtual time, release them in the other order.

    Keys of an earlier call are released before these are pressed.  CommandError if there is no keyboard.
    """
    _must_run(machine)
    if not 0 <= hold_ms <= LONGEST_HOLD_MS:
        raise CommandError(f"keys are held 0 to {LONGEST_HOLD_MS} ms, not {hold_ms}")
    sink = keyboard(machine.sinks())
    downs = [sink.input([Event(EV_KEY, code, 1)]) for code in codes]
    ups = [
        sink.input([Event(EV_KEY, code, 0)], 0 if number else hold_ms * NS_PER_MS)
        for number, code in enumerate(reversed(codes))
    ]
    machine.send([(sink.node, message) for message in downs + ups], in_turn=True)


def move(machine: Machine, dx: int, dy: int, dz: int = 0) -> None:
    """Move the mouse, and turn its wheel down by `dz`."""
    rows = ((REL_X, dx), (REL_Y, dy), (REL_WHEEL, -dz))
    if any(abs(value) > VALUE_MAX for _, value in rows):
        raise CommandError("a movement does not fit 32 bits")
    deliver(machine, [Event(EV_REL, code, value) for code, value in rows if value])


def hold_buttons(machine: Machine, bits: int) -> None:
    """Make exactly these mouse buttons be down, of those this command knows."""
    changed = bits ^ machine.mouse_buttons
    rows = [Event(EV_KEY, BUTTONS[name], int(bool(bits & bit))) for name, bit in BUTTON_BITS if changed & bit]
    deliver(machine, rows)
    machine.mouse_buttons = bits


def _power_down(machine: Machine, _: Mapping[str, Any]) -> None:
    """The power button: a key on a keyboard, where the board has nothing else with one."""
    if not any(sink.kind == "kbd" for sink in machine.sinks()):
        raise CommandError("system_powerdown: no part of this machine has a power button; a keyboard has: --input kbd")
    press(machine, [KEY_POWER])
    machine.hear("POWERDOWN", {})


def _must_run(machine: Machine) -> None:
    if machine.paused:
        raise CommandError("VM not running")


INPUT: Final[Mapping[str, Command]] = {
    "input-send-event": Command(
        _send_event,
        {
            "events": Argument("array"),
            "device": Argument("string", optional=True),
            "head": Argument("integer", optional=True),
        },
        needs_run=True,
        guest_visible=True,
    ),
    "send-key": Command(
        _send_key,
        {"keys": Argument("array"), "hold-time": Argument("integer", optional=True)},
        needs_run=True,
        guest_visible=True,
    ),
    "system_powerdown": Command(_power_down, needs_run=True, guest_visible=True),
}
