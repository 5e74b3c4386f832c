"""The part of a device's shell that serves a backend, driven by a test until something has happened."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from machine.message import HostEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.model import Backend

PATIENCE_MS = 10_000
"""A host that has not done by then what a test waits for never will."""


@dataclass(slots=True)
class HostLoop:
    """Opens a backend, collects what it submits, polls what it asks for."""

    backend: Backend
    room: int = 1 << 16
    events: list[tuple[HostEvent, bytes, int]] = field(default_factory=list)

    def open(self) -> HostLoop:
        """Open the backend."""
        self.backend.open(self._submit)
        return self

    def resume(self) -> HostLoop:
        """Have the backend stand in for one whose process has died."""
        self.backend.recall(b"", self._submit)
        assert self.backend.resume(self._submit, owes=False)
        return self

    @property
    def received(self) -> bytes:
        """The bytes submitted so far."""
        return b"".join(data for event, data, _ in self.events if event is HostEvent.DATA)

    def kinds(self) -> list[HostEvent]:
        """The events submitted so far."""
        return [event for event, _, _ in self.events]

    def until(self, done: Callable[[], bool]) -> None:
        """Serve the backend until `done`; AssertionError when nothing more happens."""
        while not done():
            assert self.serve(PATIENCE_MS), f"nothing happens; so far: {self.events}"

    def until_received(self, data: bytes) -> None:
        """Serve the backend until exactly these bytes have been submitted in all."""
        self.until(lambda: self.received == data)

    def until_kinds(self, event: HostEvent, count: int = 1) -> None:
        """Serve the backend until an event has been submitted that often."""
        self.until(lambda: self.kinds().count(event) == count)

    def serve(self, timeout_ms: int = 0) -> bool:
        """Wait for the host once; whether anything was ready."""
        return serve_backend(self.backend, self.room, timeout_ms)

    def _submit(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        self.events.append((event, data, delay_ns))


def serve_backend(backend: Backend, room: int, timeout_ms: int) -> bool:
    """Wait for what a backend waits for, once, and have it served; whether anything was ready."""
    poller = select.poll()
    for descriptor, reads, writes in backend.descriptors(room):
        poller.register(descriptor, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
    found = poller.poll(timeout_ms)
    for descriptor, events in found:
        trouble = select.POLLHUP | select.POLLERR
        readable, writable = events & (select.POLLIN | trouble), events & (select.POLLOUT | trouble)
        backend.ready(descriptor, bool(readable), bool(writable), room)
    return bool(found)
