"""Processes for the broker's benchmark: nodes that answer without thinking, and the plainest forwarder there can be.

`python -m tests.bench.peers device ENDPOINT` is a device of a machine, `echo ENDPOINT` the third process of a bare
round trip, `forward ENDPOINT` the process in its middle.  Nodes speak bytes that were encoded beforehand, so that what
is measured is what lies between them.
"""

from __future__ import annotations

import sys
from typing import Final

import zmq

from machine.codec import decode, decode_frame, encode, encode_header, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU, FIRST_DEVICE
from machine.message import (
    WIRE_VERSION,
    Access,
    AccessKind,
    Digest,
    DigestScope,
    Done,
    Hello,
    HostOutput,
    Message,
    MmioAccess,
    Ready,
    Reset,
    Shutdown,
    StateRequest,
    Welcome,
)

ICOUNT: Final = 1_000_000_000
READ: Final = MmioAccess((Access(AccessKind.READ, 5, 1),))
OUTPUTS: Final = 3
"""What a device of `breath` says before it is done."""
_RESET: Final = type_of(Reset)
_STATE_REQUEST: Final = type_of(StateRequest)
_SHUTDOWN: Final = type_of(Shutdown)
LAST: Final = b"last"
FORWARDED: Final = (b"a", b"b")
"""Identities of the two ends of a bare round trip."""


def connect(endpoint: str, identity: bytes = b"") -> zmq.Socket[bytes]:
    """A node's socket."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    socket.connect(endpoint)
    return socket


def pair(message: Message, source: int, target: int) -> list[bytes]:
    """Header and payload."""
    frame = Frame(type_of(type(message)), source, target, ICOUNT, encode(message))
    return [encode_header(frame), frame.payload]


def digest(number: int) -> list[bytes]:
    """What a node answers when the run is over."""
    return pair(Digest(DigestScope.ALL, bytes(32)), number, BROKER)


def join(endpoint: str, name: str, memory_path: str = "") -> tuple[zmq.Socket[bytes], int]:
    """Become a node; its socket and its number."""
    socket = connect(endpoint)
    socket.send_multipart(pair(Hello(WIRE_VERSION, name, 0, memory_path), 0, BROKER))
    header, payload = socket.recv_multipart()
    frame = decode_frame(header, payload)
    welcome = decode(frame.type, frame.payload)
    assert isinstance(welcome, Welcome)
    socket.send_multipart(pair(Ready(), welcome.number, BROKER))
    return socket, welcome.number


def be_a_device(endpoint: str, name: str, outputs: int) -> None:
    """Answer everything at once, until the machine ends."""
    socket, number = join(endpoint, name)
    answer = [*pair(HostOutput(b"x"), number, BROKER) * outputs, *pair(Done(), number, CPU)]
    says = {_RESET: pair(Done(), number, BROKER), _STATE_REQUEST: digest(number)}
    while True:
        parts = socket.recv_multipart()
        for i in range(0, len(parts), 2):
            kind = decode_frame(parts[i], parts[i + 1]).type
            if kind == _SHUTDOWN:
                return
            socket.send_multipart(says.get(kind, answer))


def be_an_echo(endpoint: str) -> None:
    """Answer as a device would, over the bare forwarder, until the last message comes."""
    socket = connect(endpoint, FORWARDED[1])
    answer = pair(Done(), FIRST_DEVICE, CPU)
    socket.send_multipart(answer)  # it is there
    while True:
        parts = socket.recv_multipart()
        # As much as a device does to know what it was told.
        decode_frame(parts[0], parts[1])
        if parts[1] == LAST:
            return
        socket.send_multipart(answer)


def forward(endpoint: str) -> None:
    """What one end sends goes to the other; LAST is the last."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.bind(endpoint)
    other = dict(zip(FORWARDED, reversed(FORWARDED), strict=True))
    while True:
        identity, *parts = socket.recv_multipart()
        socket.send_multipart([other[identity], *parts])
        if parts[1] == LAST:
            return


def main() -> int:
    """One of the processes."""
    role, endpoint, *rest = sys.argv[1:]
    match role:
        case "device":
            be_a_device(endpoint, rest[0], int(rest[1]))
        case "echo":
            be_an_echo(endpoint)
        case "forward":
            forward(endpoint)
        case _:
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
