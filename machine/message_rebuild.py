"""The messages that a process and its successor need; machine/message.py hands them on."""

from __future__ import annotations

from machine.message_base import MessageStruct


class Checkpoint(MessageStruct):
    """A device has kept its state as of in front of message `seq`."""

    seq: int


class Present(MessageStruct):
    """The past of a device that stands in for another is over."""

    inputs: int = 0
    waiting_bytes: int = 0
    backend: str = ""


class MemoryMoved(MessageStruct):
    """Guest memory is somewhere else from now on."""

    memory_path: str
