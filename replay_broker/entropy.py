"""The machine's random bytes: the host's, or the stream of a seed.

Lives here: who gets which bytes.  Never here: writing them down.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from machine.errors import BoardError, RemoteWireError
from machine.icount import FIRST_DEVICE

if TYPE_CHECKING:
    from machine.board import Board

MOST_BYTES: Final = 4096
SEED_WORD: Final = "seed"
BLOCK_BYTES: Final = 64
RNG: Final = "rng"
UNSEEDED: Final = ("", "host", "none")
"""Words of a source of entropy that leave it to the host."""


class Entropies:
    """Entropy of every device: its slot's backend is `host`, or `seed=N` for a stream that N alone decides.

    In a branch the stream is another one, by the number of the message behind which it begins: what the guest has had
    does not come again.
    """

    def __init__(self, board: Board, behind_seq: int = 0) -> None:
        self._streams: dict[int, SeedStream] = {}
        for number, slot in enumerate(board.devices, FIRST_DEVICE):
            word, equals, seed = slot.backend.partition("=")
            if word != SEED_WORD and (slot.kind != RNG or word in UNSEEDED):
                continue
            if word != SEED_WORD or not equals or not seed.isascii() or not seed.isdigit():
                raise BoardError(f"device.{slot.name}.backend: {slot.backend!r} is neither host nor a whole seed=N")
            self._streams[number] = SeedStream(int(seed), behind_seq)

    def read(self, node: int, size: int) -> bytes:
        """Random bytes for a device; RemoteWireError if it wants none or too many."""
        if not 1 <= size <= MOST_BYTES:
            raise RemoteWireError(f"node {node} asks for {size} random bytes; 1 to {MOST_BYTES} can be had")
        stream = self._streams.get(node)
        return os.urandom(size) if stream is None else stream.read(size)


class SeedStream:
    """Bytes of BLAKE2b (RFC 7693) over a counter, the seed its key."""

    def __init__(self, seed: int, behind_seq: int = 0) -> None:
        word = f"{seed} behind {behind_seq}" if behind_seq else str(seed)
        self._key = hashlib.sha256(word.encode()).digest()
        self._blocks = 0
        self._left = b""

    def read(self, size: int) -> bytes:
        """The next bytes."""
        parts = [self._left]
        have = len(self._left)
        while have < size:
            counter = self._blocks.to_bytes(8, "little")
            parts.append(hashlib.blake2b(counter, key=self._key, digest_size=BLOCK_BYTES).digest())
            self._blocks += 1
            have += BLOCK_BYTES
        data = b"".join(parts)
        self._left = data[size:]
        return data[:size]
