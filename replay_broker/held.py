"""Keys that are down where a recording is gone on with: who held them has gone, so that they are let go.

A key that was pressed and is never released repeats in the guest for ever.  Both who branches a recording and who goes
on with one whose broker has died begin with other hands; what those hold they press anew.  What is plugged into a USB
port, by the board or by the monitor, is pulled out there, which lets go of its keys by itself.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from machine.codec import decode, type_of
from machine.input_events import EV_KEY, Event, unpack_events
from machine.message import HostEvent, HostInput
from replay_broker.monitor.hands import find_sinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from machine.board import Board
    from machine.frame import Frame
    from machine.recording.reader import Recording
    from replay_broker.monitor.hands import Sink

_HOST_INPUT: Final = type_of(HostInput)


class HeldKeys:
    """The keys and buttons that are down, of what is the same device on the board before and the one behind."""

    def __init__(self, before: Board, behind: Board) -> None:
        there = find_sinks(behind, behind.backends)
        sinks = [sink for sink in find_sinks(before, before.backends) if sink in there and not sink.port]
        self._down: dict[int, tuple[Sink, dict[int, None]]] = {sink.node: (sink, {}) for sink in sinks}

    def __bool__(self) -> bool:
        """Whether there is anything that could be held."""
        return bool(self._down)

    def noting(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """A recording's messages in their order, and what they do to the keys."""
        for frame in frames:
            if frame.type == _HOST_INPUT and frame.target in self._down:
                message = decode(frame.type, frame.payload)
                assert isinstance(message, HostInput)
                if message.event is HostEvent.DATA:
                    self._note(message.data, self._down[frame.target][1])
            yield frame

    def releases(self) -> tuple[tuple[int, HostInput], ...]:
        """By device, what lets go of them."""
        held = [(sink, codes) for sink, codes in self._down.values() if codes]
        return tuple((sink.node, sink.input(Event(EV_KEY, code, 0) for code in codes)) for sink, codes in held)

    @staticmethod
    def _note(data: bytes, down: dict[int, None]) -> None:
        for event in unpack_events(data):
            if event.type == EV_KEY and event.value:
                down[event.code] = None
            elif event.type == EV_KEY:
                down.pop(event.code, None)


def up_to(recording: Recording, last: int) -> Iterator[Frame]:
    """A recording's messages, with its last one; LogError."""
    return takewhile(lambda frame: frame.seq <= last, recording.frames())


def releases(recording: Recording, last: int, board: Board) -> tuple[tuple[int, HostInput], ...]:
    """What lets go of what is down behind a recording's message `last`, where `board` goes on with it; LogError."""
    held = HeldKeys(recording.board, board)
    if held:
        for _ in held.noting(up_to(recording, last)):
            pass
    return held.releases()
