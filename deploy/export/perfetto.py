"""A recording as a Perfetto trace: a process each, a slice for what it handles, flows for messages, counters.

A message is an instant on its sender's track, from which a flow leads to the slice of its handling on the receiver's.
A call's slice ends with its answer.  In the guest's time most slices take none: a device's answer is part of the
instruction that asked for it.  In the host's time, when the recording was made, they take what the host took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.export.queues import Queues
from deploy.export.table import HOST, Choice
from deploy.export.track_events import TrackWriter
from deploy.message_text import text_of
from machine import message as m
from machine.codec import name_of, type_of
from machine.errors import UsageError
from machine.icount import BROKER, CPU
from machine.recording.format import node_names
from machine.recording.layout import LOG_NAME
from machine.recording.summary import SYNC_POINT, idle_ns_of
from machine.recording.times import HostClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from machine.frame import Frame
    from machine.recording.reader import Recording

    Key = tuple[int, int, int]

ANSWERS: Final[Mapping[int, int]] = {
    type_of(question): type_of(answer)
    for question, answer in (
        (m.MmioAccess, m.Done), (m.TimerExpired, m.Done), (m.Reset, m.Done), (m.HostInput, m.Done),
        (m.StateRequest, m.Digest), (m.ClockRead, m.ClockReading), (m.EntropyRead, m.Entropy),
        (m.HostOutput, m.BackendResult),
    )
}  # fmt: skip
"""What ends a call's slice."""
HOST_OUTPUT: Final = type_of(m.HostOutput)
RATE_NS: Final = 10_000_000
"""Host time between two values of the rate of instructions."""
LONGEST: Final = 200
"""Characters of a message's text that are kept."""
_TRACKS: Final = 1 << 8
"""Track numbers that a process has for itself: its own, messages, guest, rate, and then its queues'."""
_MESSAGES, _GUEST, _RATE, _QUEUES = 1, 2, 3, 4


def export(recording: Recording, frames: Iterable[Frame], choice: Choice) -> Iterator[bytes]:
    """The trace; UsageError if the node that is asked for is not on the board."""
    names = node_names(recording.board)
    if choice.node is not None and choice.node not in names:
        raise UsageError(f"--node {choice.node}: the recorded nodes are {', '.join(names)}")
    node = names.index(choice.node) if choice.node is not None else None
    return _Trace(recording, on_host=choice.clock == HOST, node=node).packets(frames)


@dataclass(slots=True)
class _Moment:
    """A message's times: virtual, and the host's since the first message, which never goes back here."""

    icount: int = 0
    guest_ns: int = 0
    host_ns: int = 0


class _Trace:
    """One pass over a recording; only what concerns `node`, if one is named."""

    def __init__(self, recording: Recording, *, on_host: bool, node: int | None) -> None:
        self._names = node_names(recording.board)
        self._text = text_of(recording)
        self._write = TrackWriter()
        self._clock = recording.clock()
        self._host = HostClock(recording.path / LOG_NAME, recording.beginning.seq)
        self._host_start: int | None = None
        self._now = _Moment()
        self._on_host = on_host
        self._node = node
        self._queues = Queues()
        self._counters: dict[tuple[int, str], int] = {}
        self._processes: set[int] = set()
        self._open: dict[int, list[Key]] = {}
        self._rated = (0, 0)
        self._running = False

    def packets(self, frames: Iterable[Frame]) -> Iterator[bytes]:
        """Every packet of the trace, in order."""
        for node in range(len(self._names)):
            if self._node in (None, node):
                yield from self._process(node)
        for frame in frames:
            self._move(frame)
            if frame.type == SYNC_POINT:
                yield from self._sleep(frame)
            yield from self._rate(RATE_NS)
            if self._node is None or self._node in (frame.source, frame.target):
                yield from self._message(frame)
                yield from self._lengths(frame)
        yield from self._rate(1)
        for node, calls in self._open.items():
            for _ in calls:
                yield self._write.end(_track(node, _MESSAGES), self._time())
        if self._running:
            yield self._write.end(_track(CPU, _GUEST), self._time())

    def _move(self, frame: Frame) -> None:
        self._now.icount, self._now.guest_ns = frame.icount, self._clock.at(frame.icount)
        host_ns = self._host.at(frame.seq) or 0
        if self._host_start is None:
            self._host_start = host_ns
        self._now.host_ns = max(self._now.host_ns, host_ns - self._host_start)

    def _time(self) -> int:
        return self._now.host_ns if self._on_host else self._now.guest_ns

    def _process(self, node: int) -> Iterator[bytes]:
        """A process and its track of messages; process number 0 is the idle one of a host."""
        if node in self._processes:
            return
        self._processes.add(node)
        name = self._names[node] if node < len(self._names) else f"node{node}"
        own = _track(node)
        yield self._write.process(own, name, node + 1)
        yield self._write.track(_track(node, _MESSAGES), own, "messages")
        if node == CPU:
            yield self._write.counter_track(_track(CPU, _RATE), own, "instructions", "MIPS")
            if not self._on_host:
                yield self._write.track(_track(CPU, _GUEST), own, "guest")

    def _sleep(self, frame: Frame) -> Iterator[bytes]:
        """The guest's own track in virtual time: it runs, it sleeps."""
        before_ns, idle_ns = self._now.guest_ns, idle_ns_of(frame)
        self._clock.idle_ns += idle_ns
        self._now.guest_ns = self._clock.at(frame.icount)
        if self._on_host or self._node not in (None, CPU):
            return
        track = _track(CPU, _GUEST)
        if idle_ns and self._running:
            self._running = False
            yield self._write.end(track, before_ns)
        if idle_ns:
            yield self._write.begin(track, before_ns, "sleeps", {"idle_ns": idle_ns})
            yield self._write.end(track, self._now.guest_ns)
        if not self._running:
            self._running = True
            yield self._write.begin(track, self._now.guest_ns, "runs", {"icount": frame.icount})

    def _rate(self, least_ns: int) -> Iterator[bytes]:
        """How fast the guest has been since the last such value, if that is as long ago."""
        host_ns, icount = self._rated
        passed_ns, now = self._now.host_ns - host_ns, self._now.icount
        if passed_ns >= least_ns and self._node in (None, CPU):
            self._rated = (self._now.host_ns, now)
            yield self._write.count(_track(CPU, _RATE), self._time(), (now - icount) * 1e3 / passed_ns)

    def _message(self, frame: Frame) -> Iterator[bytes]:
        name, time = name_of(frame.type), self._time()
        sender, receiver = _track(frame.source, _MESSAGES), _track(frame.target, _MESSAGES)
        facts: dict[str, int | str] = {"icount": frame.icount, "seq": frame.seq}
        said = {**facts, "message": self._text.words(frame)[:LONGEST]}
        yield from self._process(frame.source)
        yield from self._process(frame.target)
        yield self._write.instant(sender, time, f"say {name}", facts, starts=(frame.seq,))
        yield from self._end_call((frame.type, frame.source, frame.target), time)
        answer = ANSWERS.get(frame.type)
        if answer is None:
            yield self._write.instant(receiver, time, name, said, ends=(frame.seq,))
            return
        yield self._write.begin(receiver, time, name, said, ends=(frame.seq,))
        # A backend's answer is told by the device's process, where the backend is.
        own = frame.type == HOST_OUTPUT
        key = (answer, frame.source, BROKER) if own else (answer, frame.target, frame.source)
        self._open.setdefault(frame.target, []).append(key)

    def _end_call(self, key: Key, time: int) -> Iterator[bytes]:
        """End the slice of the call that a message answers, and what was begun inside and has not ended."""
        node = key[2] if key[0] == ANSWERS[HOST_OUTPUT] else key[1]
        calls = self._open.get(node, [])
        while key in calls:
            calls.pop()
            yield self._write.end(_track(node, _MESSAGES), time)

    def _lengths(self, frame: Frame) -> Iterator[bytes]:
        for node, name, unit, length in self._queues.after(frame):
            track = self._counters.get((node, name))
            if track is None:
                yield from self._process(node)
                track = _track(node, _QUEUES + sum(known == node for known, _ in self._counters))
                self._counters[node, name] = track
                yield self._write.counter_track(track, _track(node), name, unit)
            yield self._write.count(track, self._time(), length)


def _track(node: int, offset: int = 0) -> int:
    """A track's number; 0 is none."""
    return (node + 1) * _TRACKS + offset
