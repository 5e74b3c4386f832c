"""The running digest of every message of a run: two runs with equal chains said the same things in the same order."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from machine.frame import Frame

_HEADER: Final = struct.Struct("<QHHHI")
_BATCH: Final = 256
"""Messages hashed at a time; hashing each alone would cost more than logging it."""


class Chain:
    """SHA-256 over each message in order: icount(8) source(2) target(2) type(2) length(4) payload.

    Numbers are little-endian.  Neither seq (it is the position) nor any host time takes part.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []

    def add(self, frame: Frame) -> None:
        """Append one message."""
        payload = frame.payload
        pending = self._pending
        pending.append(_HEADER.pack(frame.icount, frame.source, frame.target, frame.type, len(payload)))
        pending.append(payload)
        if len(pending) >= 2 * _BATCH:
            self._settle()

    def digest(self) -> bytes:
        """The 32 bytes of the chain so far; more may be added afterwards."""
        self._settle()
        return self._hash.digest()

    def link(self, recording_id: str) -> bytes:
        """What the next chunk of that recording begins with: 32 bytes that no other place in any log has."""
        return hashlib.sha256(recording_id.encode() + self.digest()).digest()

    def _settle(self) -> None:
        self._hash.update(b"".join(self._pending))
        self._pending.clear()
