"""The enumerations of the messages' fields; machine/message.py hands them on."""

from __future__ import annotations

from enum import IntEnum


class MessageClass(IntEnum):
    """What the log and a replay do with a message."""

    CONTROL = 0
    INPUT = 1
    DERIVED = 2


class NodeState(IntEnum):
    """How far a node has come."""

    MISSING = 1
    STARTING = 2
    READY = 3
    AWAITED = 4


class AccessKind(IntEnum):
    """What the guest did to a register."""

    WRITE = 1
    READ = 2
    POP = 3


class ReadKind(IntEnum):
    """How the CPU node answers a load."""

    CALL = 1
    SHADOW = 2
    FIFO = 3


class WriteKind(IntEnum):
    """What the CPU node does with a store."""

    CALL = 1
    POSTED = 2


class HostEvent(IntEnum):
    """What happened at a backend."""

    DATA = 1
    WRITABLE = 2
    OPENED = 3
    CLOSED = 4
    BREAK = 5


class DigestScope(IntEnum):
    """What a digest covers."""

    REGISTERS = 1
    ALL = 2


class PowerOffReason(IntEnum):
    """Why a run ended; OUTSIDE means that somebody other than the guest ended it."""

    OUTSIDE = 0
    SHUTDOWN = 1
    REBOOT = 2
    FAILURE = 3


class RunMode(IntEnum):
    """What the broker does with the log."""

    NONE = 1
    RECORD = 2
    REPLAY_LOG = 3
    REPLAY_LIVE = 4


class FaultCode(IntEnum):
    """What kind of failure a node reports."""

    SETUP = 1
    INTERNAL = 2
    DIVERGENCE = 3


class RunState(IntEnum):
    """Where a machine is in its life."""

    STARTING = 1
    RUNNING = 2
    ENDED = 3
    FAILED = 4
    DIVERGED = 5
    STOPPED = 6
