"""What input backends say, heard by a test; no test lives here."""

from __future__ import annotations

from machine.input_events import (
    EV_KEY,
    SYN,
    Event,
    unpack_events,
)
from machine.message import HostEvent

ROOM = 1024
A, B, RETURN, DELETE, ALT = 30, 48, 28, 111, 56


def down(code: int) -> Event:
    """A key goes down."""
    return Event(EV_KEY, code, 1)


def up(code: int) -> Event:
    """A key comes up."""
    return Event(EV_KEY, code, 0)


class Heard:
    """What a backend has submitted."""

    def __init__(self) -> None:
        self.said: list[tuple[HostEvent, bytes, int]] = []

    def submit(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        """What the gate would take."""
        self.said.append((event, data, delay_ns))

    def groups(self) -> list[list[Event]]:
        """The events said since the last look, each group without its end, which must be there."""
        said, self.said = self.said, []
        groups = []
        for event, data, _ in said:
            assert event is HostEvent.DATA
            *group, end = unpack_events(data)
            assert end == SYN
            groups.append(group)
        return groups
