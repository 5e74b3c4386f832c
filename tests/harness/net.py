"""The other end of a network card's cable: peers that a test moves by hand, and what a capture holds."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scapy.utils import RawPcapNgReader

from devices.backends.net.frames import unpack
from machine.message import HostEvent

if TYPE_CHECKING:
    from tests.harness.host_loop import HostLoop

DEADLINE_S: Final = 20.0
INBOUND: Final = 1
OUTBOUND: Final = 2


def frames_of(loop: HostLoop) -> list[bytes]:
    """Every frame that a backend has submitted."""
    return [frame for event, data, _ in loop.events if event is HostEvent.DATA for frame in unpack(data)]


def until_frames(loop: HostLoop, count: int) -> list[bytes]:
    """Serve a backend until it has submitted that many frames; all of them."""
    loop.until(lambda: len(frames_of(loop)) >= count)
    return frames_of(loop)


def sized(number: int, size: int = 64) -> bytes:
    """A frame that begins with its number."""
    return number.to_bytes(4, "big").ljust(size, b"\xa5")


def framed(frame: bytes) -> bytes:
    """A frame as QEMU puts it on a stream: a 4-byte big-endian length in front."""
    return struct.pack(">I", len(frame)) + frame


def read_exactly(peer: socket.socket, size: int) -> bytes:
    """That many bytes; AssertionError when the peer hangs up first."""
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        assert more, f"hung up after {len(data)} of {size} bytes"
        data += more
    return data


def read_frame(peer: socket.socket) -> bytes:
    """The next frame on a stream."""
    (size,) = struct.unpack(">I", read_exactly(peer, 4))
    return read_exactly(peer, size)


@dataclass(frozen=True, slots=True)
class Captured:
    """One packet of a capture."""

    frame: bytes
    icount: int
    """From the comment."""
    time_ns: int
    direction: int


def read_capture(path: Path) -> list[Captured]:
    """What scapy, who knows nothing of us, finds in a pcapng file."""
    found = []
    with RawPcapNgReader(str(path)) as reader:
        for frame, meta in reader:
            fields: dict[str, Any] = meta._asdict()
            assert (fields["linktype"], fields["tsresol"]) == (1, 10**9)
            (comment,) = fields["comments"]
            assert comment.startswith(b"icount=")
            time_ns = fields["tshigh"] << 32 | fields["tslow"]
            found.append(Captured(frame, int(comment.removeprefix(b"icount=")), time_ns, fields["direction"]))
    return found


def passts(address: str) -> list[int]:
    """The processes that have given a guest this address."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if address.encode() in words and words[0].endswith(b"passt"):
                found.append(int(entry.name))
    return found
