"""The running digest of every message of a run: two runs with equal chains said the same things in the same order."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from machine.recording.format import RESUMABLE_FORMAT

if TYPE_CHECKING:
    from machine.frame import Frame

_HEADER: Final = struct.Struct("<QHHHI")
_BATCH: Final = 256
"""Messages that are kept until somebody asks: most are never asked about alone."""
BEFORE_ALL: Final = bytes(32)
"""The digest of no message."""


class Chain:
    """The digest behind each message: SHA-256 over the digest before it and the message.

    A message is icount(8) source(2) target(2) type(2) length(4) payload, numbers little-endian.  Neither seq (it is
    the position) nor any host time takes part.  Who knows a digest can go on from there, so a log can be read, and
    checked, from the middle.  `before` is where to go on from.
    """

    def __init__(self, before: bytes = BEFORE_ALL) -> None:
        self._digest = before
        self._pending: list[bytes] = []

    def add(self, frame: Frame) -> None:
        """Append one message."""
        payload = frame.payload
        pending = self._pending
        pending.append(_HEADER.pack(frame.icount, frame.source, frame.target, frame.type, len(payload)) + payload)
        if len(pending) >= _BATCH:
            self._settle()

    def digest(self) -> bytes:
        """The 32 bytes of the chain so far; more may be added afterwards."""
        self._settle()
        return self._digest

    def link(self, recording_id: str) -> bytes:
        """What the next chunk of that recording begins with: 32 bytes that no other place in any log has."""
        return hashlib.sha256(recording_id.encode() + self.digest()).digest()

    def _settle(self) -> None:
        digest, sha256 = self._digest, hashlib.sha256
        for message in self._pending:
            digest = sha256(digest + message).digest()
        self._digest = digest
        self._pending.clear()


class OldChain(Chain):
    """The digest of formats 1 and 2: one SHA-256 over all messages, which cannot be gone on with from the middle."""

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()
        self._digest = self._hash.digest()

    def _settle(self) -> None:
        self._hash.update(b"".join(self._pending))
        self._digest = self._hash.digest()
        self._pending.clear()


def chain_of(log_format: int, before: bytes = BEFORE_ALL) -> Chain:
    """The chain of a format, from its beginning or behind a digest; only formats from 3 on have the latter."""
    if log_format >= RESUMABLE_FORMAT:
        return Chain(before)
    assert before == BEFORE_ALL
    return OldChain()
