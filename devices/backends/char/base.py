"""What character backends have in common: words that name no more than a path, or nothing."""

from __future__ import annotations

from devices.backends.base import BackendBase
from machine.errors import BackendError


class CharBackend(BackendBase):
    """A character backend that waits for nothing, says nothing and takes everything."""


def require_path(word: str, path: str, name: str) -> str:
    """A path that is one; BackendError if it is empty."""
    if not path:
        raise BackendError(f"{name}: backend {word} needs a path: {word}:PATH")
    return path


def refuse_argument(word: str, argument: str, name: str) -> None:
    """BackendError if a word that takes no argument has one."""
    if argument:
        raise BackendError(f"{name}: backend {word} takes no argument, not {argument!r}")
