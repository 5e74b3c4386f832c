"""What character backends have in common: words that name no more than a path, or nothing; bytes that must wait."""

from __future__ import annotations

from devices.backends.base import BackendBase
from machine.errors import BackendError
from machine.message import HostEvent


class CharBackend(BackendBase):
    """A character backend that waits for nothing, says nothing and takes everything."""


class HoldingBackend(CharBackend):
    """A backend whose outside speaks in pieces of its own size: what the device has no room for yet is held here.

    A subclass reads only while nothing is held; `advance` hands on the rest when the device has taken some.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._held = bytearray()

    def advance(self, room: int) -> None:
        """Hand on what was held."""
        if self._held and room > 0:
            data = bytes(self._held[:room])
            del self._held[:room]
            self._submit(HostEvent.DATA, data, 0)


def require_path(word: str, path: str, name: str) -> str:
    """A path that is one; BackendError if it is empty."""
    if not path:
        raise BackendError(f"{name}: backend {word} needs a path: {word}:PATH")
    return path


def refuse_argument(word: str, argument: str, name: str) -> None:
    """BackendError if a word that takes no argument has one."""
    if argument:
        raise BackendError(f"{name}: backend {word} takes no argument, not {argument!r}")
