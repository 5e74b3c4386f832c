"""What messages hold rows of; machine/message.py hands them on."""

from __future__ import annotations

from machine.message_base import MessageStruct
from machine.message_enums import AccessKind, NodeState, ReadKind, WriteKind


class StateVersion(MessageStruct):
    """A kind of saved state and its version."""

    name: str
    version: int


class NodeStatus(MessageStruct):
    """One process of the machine."""

    name: str
    state: NodeState
    host: str = ""
    pid: int = 0
    messages: int = 0
    messages_per_s: int = 0
    waiting: int = 0
    backend: str = ""
    metrics: str = ""


class Access(MessageStruct):
    """One register access; for POP a row of `value` equal ones, with `data` a row of one-byte stores."""

    kind: AccessKind
    offset: int
    size: int
    value: int = 0
    data: bytes = b""


class Register(MessageStruct):
    """How the CPU node treats one register; see docs/wire.md."""

    offset: int
    read: ReadKind = ReadKind.CALL
    write: WriteKind = WriteKind.CALL
    value: int = 0
    latch_mask: int = 0
    call_mask: int = 0
    fifo_mask: int = 0
    raise_mask: int = 0
