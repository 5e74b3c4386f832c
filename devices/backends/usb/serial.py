"""`serial,CHARWORD`: a serial adapter whose other end is any backend of a serial line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.backends import create_backend
from devices.backends.usb.port import Port, PortLink
from devices.usb.messages import Kind, What
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from devices.model import Backend, Run

HEAD_BYTES: Final = 1
"""The port in front of an output."""
EVENTS: Final[Mapping[HostEvent, What]] = {
    HostEvent.DATA: What.DATA,
    HostEvent.WRITABLE: What.WRITABLE,
    HostEvent.OPENED: What.CARRIER_ON,
    HostEvent.CLOSED: What.CARRIER_OFF,
    HostEvent.BREAK: What.BREAK,
}


class SerialPort(Port):
    """A character backend in a port."""

    def __init__(self, line: Backend) -> None:
        self._line = line
        self._untaken = b""
        """Recorded output that the line will take when it can; only while a recording is replayed."""
        self._refused = False
        """listen() has said not now."""

    @property
    def unrecordable(self) -> str:
        """As the line."""
        return self._line.unrecordable

    def attach(self, run: Run) -> None:
        """The line's."""
        self._line.attach(run)

    def open(self, link: PortLink) -> None:
        """Plug the adapter in and open its line; BackendError."""
        self._link = link
        link.plug(Kind.SERIAL)
        self._line.open(self._heard)

    def close(self) -> None:
        """Close the line."""
        self._line.close()

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The line's."""
        return self._line.descriptors(room)

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Have the line serve it."""
        self._line.ready(descriptor, readable, writable, room)

    def advance(self, room: int) -> None:
        """Let the line go on."""
        self._line.advance(room)

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """For a capture of the line."""
        self._line.passed(data, icount, inbound=inbound)

    def waiting(self) -> str:
        """The line's other end, while it waits for that."""
        return self._line.waiting()

    def wants_quit(self) -> bool:
        """Whether its user does."""
        return self._line.wants_quit()

    def write(self, message: bytes) -> BackendResult:
        """As many bytes as the line takes; the port counts as one that was taken."""
        result = self._line.write(message[HEAD_BYTES:])
        return BackendResult(HEAD_BYTES + result.accepted, result.error)

    def listen(self, message: bytes) -> bool:
        """All or nothing: what the line does not take at once is kept, and nothing more until that is gone."""
        if self._untaken:
            self._refused = True
            return False
        self._untaken = message[HEAD_BYTES:]
        self._go_on()
        return True

    def _go_on(self) -> None:
        result = self._line.write(self._untaken)
        self._untaken = b"" if result.error else self._untaken[result.accepted :]
        if self._refused and not self._untaken:
            self._refused = False
            self._link.takes_more()

    def _heard(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        if event is HostEvent.WRITABLE and self._untaken:
            self._go_on()
        else:
            self._link.data(EVENTS[event], data, delay_ns)


def create_serial(argument: str, where: str) -> Port:
    """`serial,CHARWORD`; no word is `null`."""
    return SerialPort(create_backend("char", argument, where))
