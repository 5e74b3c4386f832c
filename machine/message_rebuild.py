"""The messages that a process and its successor need; machine/message.py hands them on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A device has kept its state as of in front of message `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class Present:
    """The past of a device that stands in for another is over."""

    inputs: int = 0
    waiting_bytes: int = 0
    backend: str = ""


@dataclass(frozen=True, slots=True)
class MemoryMoved:
    """Guest memory is somewhere else from now on."""

    memory_path: str
