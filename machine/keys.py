"""Key pairs of nodes on different hosts: CurveZMQ (rfc.zeromq.org/spec/26), one pair for each name.

Lives here: making them, reading them, who may have which file.
Never here: sockets.  A secret key is in no argument, no log and no recording.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq

from machine.errors import BackendError, UsageError

BROKER: Final = "broker"
OPERATOR: Final = "operator"
"""The name of those who start, watch and end a machine from another host."""
_PUBLIC: Final = ".public"
_PRIVATE: Final = ".private"
_KEY_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Pair:
    """One node's keys, in Z85 (rfc.zeromq.org/spec/32)."""

    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a node needs to come in: its own pair and the broker's public key."""

    own: Pair
    broker: bytes


class KeyRing:
    """A directory of keys: NAME.public for everybody, NAME.private for who is that node's host."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self, name: str) -> None:
        """A new pair; UsageError if there is one already."""
        public, secret = zmq.curve_keypair()
        for suffix, text, mode in ((_PRIVATE, secret, 0o600), (_PUBLIC, public, 0o644)):
            path = self._directory / f"{name}{suffix}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            except FileExistsError:
                raise UsageError(f"{path}: is there already; keys are not replaced, take another directory") from None
            with os.fdopen(descriptor, "wb") as file:
                file.write(text + b"\n")

    def client(self, name: str) -> ClientKeys:
        """What node `name` needs; BackendError names the file that is missing or open to others."""
        return ClientKeys(self.pair(name), self._read(BROKER, _PUBLIC))

    def pair(self, name: str) -> Pair:
        """A name's own keys; BackendError."""
        return Pair(self._read(name, _PUBLIC), self._read(name, _PRIVATE))

    def names(self) -> dict[bytes, str]:
        """Whom the broker knows, by public key."""
        found = sorted(path.stem for path in self._directory.glob(f"*{_PUBLIC}"))
        return {self._read(name, _PUBLIC): name for name in found if name != BROKER}

    def _read(self, name: str, suffix: str) -> bytes:
        path = self._directory / f"{name}{suffix}"
        try:
            if suffix == _PRIVATE and stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise BackendError(f"{path}: others may read this secret key; run: chmod 600 {path}")
            text = path.read_bytes().strip()
        except OSError as error:
            raise BackendError(f"{path}: cannot read the key: {error.strerror}; dejavm keygen makes keys") from error
        if len(text) != _KEY_CHARACTERS:
            raise BackendError(f"{path}: is no key; dejavm keygen makes keys")
        return text
