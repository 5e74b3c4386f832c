"""Keys that are down where a recording is gone on with: who held them has gone, so that they are let go.

A key that was pressed and is never released repeats in the guest for ever.  Both who branches a recording and who goes
on with one whose broker has died begin with other hands; what those hold they press anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import decode, type_of
from machine.input_events import EV_KEY, Event, unpack_events
from machine.message import HostEvent, HostInput
from replay_broker.monitor.hands import find_sinks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.board import Board
    from machine.recording.reader import Recording
    from replay_broker.monitor.hands import Sink

_HOST_INPUT: Final = type_of(HostInput)


def releases(recording: Recording, last: int, board: Board) -> tuple[tuple[int, HostInput], ...]:
    """By device, what lets go of the keys and buttons that are down behind a recording's message `last`; LogError.

    `board` goes on with it: only what is the same device on both is let go of.
    """
    there = find_sinks(board, board.backends)
    sinks = [sink for sink in find_sinks(recording.board, recording.board.backends) if sink in there]
    nodes = {sink.node for sink in sinks}
    down: dict[Sink, dict[int, None]] = {sink: {} for sink in sinks}
    for frame in recording.frames() if sinks else ():
        if frame.seq > last:
            break
        if frame.type == _HOST_INPUT and frame.target in nodes:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, HostInput)
            _follow(message, [sink for sink in sinks if sink.node == frame.target], down)
    return tuple(
        (sink.node, sink.input(Event(EV_KEY, code, 0) for code in codes)) for sink, codes in down.items() if codes
    )


def _follow(message: HostInput, sinks: Iterable[Sink], down: dict[Sink, dict[int, None]]) -> None:
    """What one message does to the keys of its device."""
    for sink in sinks:
        if message.event is not HostEvent.DATA or not message.data.startswith(sink.head):
            continue
        for event in unpack_events(message.data[len(sink.head) :]):
            if event.type == EV_KEY and event.value:
                down[sink][event.code] = None
            elif event.type == EV_KEY:
                down[sink].pop(event.code, None)
