"""A Perfetto trace read by Perfetto's own schema and checked as trace_processor would take it.

Lives here: what must hold of any trace.  Never here: what a certain one should hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Slice:
    """A slice or an instant: where, from when to when, what is known of it, the flows that begin and end in it."""

    process: str
    track: str
    name: str
    start_ns: int
    end_ns: int | None
    facts: dict[str, Any]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    depth: int


@dataclass(slots=True)
class Checked:
    """A trace that is as a trace must be."""

    processes: list[str] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    counters: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)
    flows: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By number: the processes where it begins and ends."""

    def named(self, process: str, name: str) -> list[Slice]:
        """The slices of one name in one process."""
        return [s for s in self.slices if (s.process, s.name) == (process, name)]


def read_trace(path: Path) -> Checked:
    """Read a trace; AssertionError where it is not one."""
    return _Reader().read(path.read_bytes())


class _Reader:
    def __init__(self) -> None:
        self.found = Checked()
        self.tracks: dict[int, Any] = {}
        self.open: dict[int, list[Slice]] = {}
        self.starts: dict[int, str] = {}

    def read(self, data: bytes) -> Checked:
        trace = Trace.FromString(data)
        # Nothing was written that the schema does not have.
        trace.DiscardUnknownFields()
        assert trace.ByteSize() == len(data)
        time_ns = 0
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id
            if packet.HasField("track_descriptor"):
                self.define(packet.track_descriptor)
                continue
            assert packet.timestamp >= time_ns
            time_ns = packet.timestamp
            self.event(packet.track_event, time_ns)
        assert not any(self.open.values()), "a slice never ends"
        assert set(self.starts) == set(self.found.flows), "a flow leads nowhere"
        return self.found

    def define(self, descriptor: Any) -> None:
        assert descriptor.uuid
        assert descriptor.uuid not in self.tracks
        if descriptor.HasField("process"):
            assert descriptor.process.pid > 0
            self.found.processes.append(descriptor.process.process_name)
        else:
            assert self.tracks[descriptor.parent_uuid].HasField("process")
        self.tracks[descriptor.uuid] = descriptor

    def event(self, event: Any, time_ns: int) -> None:
        track = self.tracks[event.track_uuid]
        process = self.tracks[track.parent_uuid].process.process_name
        assert track.HasField("counter") == (event.type == TrackEvent.TYPE_COUNTER)
        if event.type == TrackEvent.TYPE_COUNTER:
            value = event.counter_value if event.HasField("counter_value") else event.double_counter_value
            self.found.counters.setdefault((process, track.name), []).append((time_ns, value))
            return
        stack = self.open.setdefault(event.track_uuid, [])
        if event.type == TrackEvent.TYPE_SLICE_END:
            stack.pop().end_ns = time_ns
            return
        assert event.name
        facts = {
            a.name: a.string_value if a.HasField("string_value") else a.uint_value for a in event.debug_annotations
        }
        starts, ends = tuple(event.flow_ids), tuple(event.terminating_flow_ids)
        row = Slice(process, track.name, event.name, time_ns, None, facts, starts, ends, len(stack))
        self.found.slices.append(row)
        for flow in starts:
            assert flow not in self.starts
            self.starts[flow] = process
        for flow in ends:
            assert flow not in self.found.flows
            self.found.flows[flow] = (self.starts[flow], process)
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append(row)
        else:
            assert event.type == TrackEvent.TYPE_INSTANT
            row.end_ns = time_ns
