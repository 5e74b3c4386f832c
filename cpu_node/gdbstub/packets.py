"""The outermost layer of gdb's remote protocol: packets, their checksums, acknowledgements, the interrupt byte.

Source: the GDB manual, appendix E.1 (Overview) and E.9 (Interrupts).
Never here: sockets, and what a packet means.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from machine.errors import RemoteWireError

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPT: Final = b"\x03"
ACK: Final = b"+"
NACK: Final = b"-"
LARGEST: Final = 1 << 16
"""Bytes of one packet between `$` and `#`, as we tell gdb."""
CHECKSUM_DIGITS: Final = 2
ESCAPE: Final = 0x7D
ESCAPED: Final = re.compile(rb"[#$}*]")
ESCAPE_BIT: Final = 0x20


class Packet(bytes):
    """What stood between `$` and `#`, unescaped."""


class PacketReader:
    """Bytes in, packets and the signs between them out."""

    def __init__(self) -> None:
        self._unread = b""
        self.acknowledges = True
        """Off once both sides have agreed to do without (QStartNoAckMode)."""

    def feed(self, data: bytes) -> None:
        """More bytes have come.  RemoteWireError if they cannot be gdb's."""
        self._unread += data
        if len(self._unread) > 2 * LARGEST + CHECKSUM_DIGITS:
            raise RemoteWireError("gdb: a packet without an end")

    def take(self) -> bytes | None:
        """The next Packet, INTERRUPT, ACK or NACK (a packet that is not whole); None if there is no more."""
        for item in self._items():
            return item
        return None

    def take_interrupt(self) -> bool:
        """Whether gdb wants the machine to stand, once; what else has come is kept."""
        before, found, after = self._unread.partition(INTERRUPT)
        if found:
            self._unread = before + after
        return bool(found)

    @property
    def has_packet(self) -> bool:
        """Whether more has come than signs."""
        return b"$" in self._unread

    def _items(self) -> Iterator[bytes]:
        while self._unread:
            first = self._unread[:1]
            if first != b"$":
                self._unread = self._unread[1:]
                if first in (INTERRUPT, ACK):
                    yield first
                elif first == NACK and self.acknowledges:  # else gdb has lost patience with a long answer, and waits on
                    yield b"resend"
                continue
            end = self._unread.find(b"#")
            if end < 0 or len(self._unread) < end + 1 + CHECKSUM_DIGITS:
                return
            body = self._unread[1:end]
            digits = self._unread[end + 1 : end + 1 + CHECKSUM_DIGITS]
            self._unread = self._unread[end + 1 + CHECKSUM_DIGITS :]
            good = not self.acknowledges or digits.lower() == b"%02x" % checksum(body)
            yield Packet(unescape(body)) if good else NACK


RESEND: Final = b"resend"
"""gdb has not understood our last packet."""


def frame(body: bytes) -> bytes:
    """A packet as it goes over the line."""
    text = escape(body)
    return b"$%b#%02x" % (text, checksum(text))


def checksum(body: bytes) -> int:
    """Modulo 256."""
    return sum(body) & 0xFF


def escape(body: bytes) -> bytes:
    """Bytes that mean something to the protocol, behind an escape."""
    return ESCAPED.sub(lambda found: bytes((ESCAPE, found[0][0] ^ ESCAPE_BIT)), body)


def unescape(body: bytes) -> bytes:
    """What escape() has been given."""
    return re.sub(rb"\}(.)", lambda found: bytes((found[1][0] ^ ESCAPE_BIT,)), body, flags=re.DOTALL)
