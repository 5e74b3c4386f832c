"""Somebody who is no part of the machine and talks to its broker: `-m tests.harness.stranger ENDPOINT N RATE`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import zmq

from machine.codec import encode, encode_header, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import WIRE_VERSION, Done, Fault, FaultCode, Hello, HostEvent, HostInput, IrqLevel, PowerOff, Ready
from machine.message_enums import PowerOffReason

if TYPE_CHECKING:
    from machine.message import Message

BATCH: Final = 50


def whole(message: Message, *, source: int = 2, target: int = BROKER, icount: int = 0, seq: int = 0) -> list[bytes]:
    """A message as a node would send it."""
    frame = Frame(type_of(type(message)), source, target, icount, encode(message), seq)
    return [encode_header(frame), frame.payload]


NO_KEY: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""ZeroMQ's greeting of who has no key (rfc.zeromq.org/spec/23)."""
MESSAGES: Final = (
    # Malformed,
    [b"\xff" * 40, b"\x00"],
    [b"one part"],
    [b"\x18\x22", b"\xff\xff\xff"],
    whole(Ready())[:1] * 3,
    # large,
    [b"", bytes(100_000)],
    # replayed: what a node has said already, or could say,
    whole(Done(7), target=CPU, icount=12, seq=9),
    whole(IrqLevel(level=True), target=CPU, icount=1 << 40),
    whole(HostInput(HostEvent.DATA, b"x")),
    whole(PowerOff(PowerOffReason.SHUTDOWN), source=CPU),
    # and out of order.
    whole(Ready()),
    whole(Fault(FaultCode.INTERNAL, "end it")),
    whole(Hello(WIRE_VERSION, "serial0", 1)),
    whole(Hello(WIRE_VERSION, "no-such-node", 1)),
    whole(Hello(99, "cpu", 1)),
)


def flood(endpoint: str, count: int, rate: int) -> None:
    """Send so many messages, at so many a second, and read no answer; then one that is far too large."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.connect(endpoint)
    started = time.monotonic()
    for number in range(count):
        socket.send_multipart(MESSAGES[number % len(MESSAGES)])
        ahead_s = number / rate - (time.monotonic() - started)
        if number % BATCH == 0 and ahead_s > 0:
            socket.poll(int(ahead_s * 1000), zmq.POLLERR)
    taken_s = time.monotonic() - started
    giant = context.socket(zmq.DEALER)
    giant.connect(endpoint)
    giant.send_multipart([b"", bytes(20 << 20)])
    # The giant is never taken: ZeroMQ hangs up on it, again and again.
    giant.close(linger=500)
    socket.close(linger=20_000)
    context.term()
    sys.stdout.write(f"{count} messages in {taken_s:.2f} s\n")
    sys.stdout.flush()


if __name__ == "__main__":
    flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
