"""The driver's side of the network card: buffers offered, frames sent and put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.nic import registers as n
from devices.nic.frames import pack_frame, split_frames
from devices.nic.model import Nic
from machine.message import HostEvent
from tests.harness.virtio_driver import Driver

if TYPE_CHECKING:
    from tests.harness.virtio_driver import DriverQueue

MAC: Final = bytes.fromhex("525400abcdef")
HEADER: Final = bytes(12)


class Card(Driver):
    """A driver of a network card."""

    def __init__(self, features: int | None = None, sizes: tuple[int, int] = (256, 256)) -> None:
        self.nic = Nic(MAC)
        super().__init__(self.nic)
        self.start(features, sizes)

    @property
    def rx(self) -> DriverQueue:
        """The receive queue."""
        return self.queues[n.RECEIVE_QUEUE]

    @property
    def tx(self) -> DriverQueue:
        """The transmit queue."""
        return self.queues[n.TRANSMIT_QUEUE]

    def offer_buffers(self, count: int, size: int = 1536) -> None:
        """Buffers one behind the other."""
        for _ in range(count):
            self.rx.add(writable=[size])

    def come(self, *frames: bytes) -> None:
        """The backend has these in one message."""
        self.cpu.host_input(HostEvent.DATA, b"".join(map(pack_frame, frames)))

    def got(self) -> list[bytes]:
        """The frames the guest has got, put together as Linux does it."""
        frames, buffers = [], self.rx.filled()
        while buffers:
            header = n.HEADER.unpack_from(buffers[0])
            assert header[:6] == (0, 0, 0, 0, 0, 0)
            count = header[6]
            frames.append(b"".join(buffers[:count])[n.HEADER.size :])
            buffers = buffers[count:]
        return frames

    def send(self, *frames: bytes) -> None:
        """The guest sends these, and sleeps."""
        for frame in frames:
            self.tx.add([HEADER + frame])
        self.tx.kick()
        self.flush()

    def sent(self) -> list[bytes]:
        """The frames that the backend has taken."""
        return list(split_frames(bytes(self.context.written)))


def frame(size: int, fill: int = 0) -> bytes:
    """A frame to be told from others."""
    return bytes((fill,)) * size
