"""Perfetto's track events: the packets of a trace file (perfetto/trace/track_event), one at a time.

A trace is a row of packets, so packets that are written one behind the other are a trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackDescriptor, TrackEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

SEQUENCE: Final = 1
"""All packets are of one writer."""


class TrackWriter:
    """Makes packets; a track is defined by its number before anything is put on it.  Times are in nanoseconds."""

    def process(self, track: int, name: str, pid: int) -> bytes:
        """A process, whose number is also that of a track."""
        descriptor = TrackDescriptor(uuid=track)
        descriptor.process.pid = pid
        descriptor.process.process_name = name
        return self._descriptor(descriptor)

    def track(self, track: int, parent: int, name: str) -> bytes:
        """A track of slices in a process."""
        return self._descriptor(TrackDescriptor(uuid=track, parent_uuid=parent, name=name))

    def counter_track(self, track: int, parent: int, name: str, unit: str) -> bytes:
        """A track of a counter's values in a process."""
        descriptor = TrackDescriptor(uuid=track, parent_uuid=parent, name=name)
        descriptor.counter.unit_name = unit
        return self._descriptor(descriptor)

    def begin(
        self, track: int, time_ns: int, name: str, facts: Mapping[str, int | str], *, ends: tuple[int, ...] = ()
    ) -> bytes:
        """A slice begins, nested in what is open on its track; the flows `ends` end in it."""
        event = TrackEvent(type=TrackEvent.TYPE_SLICE_BEGIN, track_uuid=track, name=name, terminating_flow_ids=ends)
        return self._event(time_ns, _with_facts(event, facts))

    def end(self, track: int, time_ns: int) -> bytes:
        """The innermost open slice of a track ends."""
        return self._event(time_ns, TrackEvent(type=TrackEvent.TYPE_SLICE_END, track_uuid=track))

    def instant(
        self, track: int, time_ns: int, name: str, facts: Mapping[str, int | str],
        *, starts: tuple[int, ...] = (), ends: tuple[int, ...] = (),
    ) -> bytes:  # fmt: skip
        """Something that takes no time; flows begin or end in it."""
        event = TrackEvent(
            type=TrackEvent.TYPE_INSTANT, track_uuid=track, name=name, flow_ids=starts, terminating_flow_ids=ends
        )
        return self._event(time_ns, _with_facts(event, facts))

    def count(self, track: int, time_ns: int, value: float) -> bytes:
        """A counter's value from here on."""
        event = TrackEvent(type=TrackEvent.TYPE_COUNTER, track_uuid=track)
        if isinstance(value, int):
            event.counter_value = value
        else:
            event.double_counter_value = value
        return self._event(time_ns, event)

    def _descriptor(self, descriptor: TrackDescriptor) -> bytes:
        return _packet(TracePacket(track_descriptor=descriptor, trusted_packet_sequence_id=SEQUENCE))

    def _event(self, time_ns: int, event: TrackEvent) -> bytes:
        return _packet(TracePacket(timestamp=time_ns, track_event=event, trusted_packet_sequence_id=SEQUENCE))


def _with_facts(event: TrackEvent, facts: Mapping[str, int | str]) -> TrackEvent:
    for name, value in facts.items():
        fact = event.debug_annotations.add(name=name)
        if isinstance(value, int):
            fact.uint_value = value
        else:
            fact.string_value = value
    return event


def _packet(packet: TracePacket) -> bytes:
    return bytes(Trace(packet=[packet]).SerializeToString())
