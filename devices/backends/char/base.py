"""What character backends have in common: saying nothing, and words that name no more than a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Submit


class CharBackend:
    """A backend that waits for nothing, says nothing and takes everything; devices/model.py, Backend."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._submit: Submit = _nobody

    def open(self, submit: Submit) -> None:
        """Remember whom to tell."""
        self._submit = submit

    def close(self) -> None:
        """Nothing is held."""

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Nothing is waited for."""
        return ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Nothing was waited for."""

    def advance(self, room: int) -> None:
        """Nothing waits for the device."""

    def write(self, data: bytes) -> BackendResult:
        """Everything is taken."""
        return BackendResult(len(data))

    def waiting(self) -> bool:
        """Nobody has to appear."""
        return False

    def wants_quit(self) -> bool:
        """Nobody is there to ask."""
        return False


def require_path(word: str, path: str, name: str) -> str:
    """A path that is one; BackendError if it is empty."""
    if not path:
        raise BackendError(f"{name}: backend {word} needs a path: {word}:PATH")
    return path


def refuse_argument(word: str, argument: str, name: str) -> None:
    """BackendError if a word that takes no argument has one."""
    if argument:
        raise BackendError(f"{name}: backend {word} takes no argument, not {argument!r}")


def _nobody(_event: HostEvent, _data: bytes, _delay_ns: int) -> None:
    raise AssertionError("a backend spoke before it was opened")
