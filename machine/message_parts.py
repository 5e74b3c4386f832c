"""What messages hold rows of; machine/message.py hands them on."""

from __future__ import annotations

from dataclasses import dataclass

from machine.message_enums import AccessKind, NodeState, ReadKind, WriteKind


@dataclass(frozen=True, slots=True)
class StateVersion:
    """A kind of saved state and its version."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
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


@dataclass(frozen=True, slots=True)
class Access:
    """One register access; for POP a row of `value` equal ones, with `data` a row of one-byte stores."""

    kind: AccessKind
    offset: int
    size: int
    value: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Register:
    """How the CPU node treats one register; see docs/wire.md."""

    offset: int
    read: ReadKind = ReadKind.CALL
    write: WriteKind = WriteKind.CALL
    value: int = 0
    latch_mask: int = 0
    call_mask: int = 0
    fifo_mask: int = 0
    raise_mask: int = 0
