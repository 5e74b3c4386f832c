"""The error tree: every expected failure of the machine, each with the exit code it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from machine.icount import Stamp

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DIVERGED = 3
EXIT_UNREADABLE = 4
EXIT_MISTOLD = 5
"""Of a node: what it was told is no part of the protocol.  Where a recording tells it, that is EXIT_UNREADABLE."""
EXIT_INTERRUPTED = 130
"""What a shell tells of a program that SIGINT has ended."""


class MachineError(Exception):
    """Something expected went wrong; its text is one line that says what, where and what to do."""

    exit_code: ClassVar[int] = EXIT_FAILED

    def __str__(self) -> str:
        """The text, which a message can carry: what a file's name has that is not UTF-8 is escaped."""
        return super().__str__().encode(errors="backslashreplace").decode()


class Interrupted(MachineError):
    """The user has interrupted what was no run."""

    exit_code = EXIT_INTERRUPTED


class UsageError(MachineError):
    """The command line asks for something that is not there."""

    exit_code = EXIT_USAGE


class BoardError(UsageError):
    """The machine's description is wrong: names file and key."""


class BackendError(MachineError):
    """The host could not give a backend what it needs; never reaches a device model."""

    exit_code = EXIT_USAGE


class WireError(MachineError):
    """A message is not what the protocol allows."""


class LocalWireError(WireError):
    """This process tried to send something that cannot be sent."""


class RemoteWireError(WireError):
    """A peer sent something that is not part of the protocol."""


class Unheard(RemoteWireError):
    """The broker does not hear this node, or not any more: nothing can be told to it."""


class ConnectionLost(Unheard):
    """The connection to a broker on another host has ended; it, or another, may come to the same place."""


class NoRoom(MachineError):
    """The host has no memory for a copy of the guest's."""


class StateError(MachineError):
    """Saved state does not fit: unknown, of another version, out of range or left over."""


class LogError(MachineError):
    """A recording cannot be read."""

    exit_code = EXIT_UNREADABLE


class TruncatedLog(LogError):
    """The log ends in the middle; everything before `offset` is good."""

    def __init__(self, path: str, offset: int, detail: str) -> None:
        super().__init__(f"{path}: log ends at byte {offset}: {detail}")
        self.offset = offset


class CorruptRecord(LogError):
    """The log is damaged at `offset`; everything before it is good."""

    def __init__(self, path: str, offset: int, detail: str) -> None:
        super().__init__(f"{path}: log is damaged at byte {offset}: {detail}")
        self.offset = offset


class UnknownLogVersion(LogError):
    """The recording was made by a format this program does not read."""


class ChangedGuest(LogError):
    """A file the guest saw is not the one that was recorded."""


class SnapshotError(LogError):
    """A snapshot cannot be used."""


class MissingSnapshot(SnapshotError):
    """The recording has no such snapshot."""


class DamagedSnapshot(SnapshotError):
    """A file of the snapshots is not what was written."""


class ForeignSnapshot(SnapshotError):
    """A snapshot belongs to another recording."""


class Diverged(MachineError):
    """A replay is not what was recorded."""

    exit_code = EXIT_DIVERGED


class Divergence(Diverged):
    """The same by who has seen it; carries the first difference."""

    def __init__(self, stamp: Stamp, process: str, kind: str, expected: str, actual: str) -> None:
        super().__init__(f"divergence at {stamp} in {process}, {kind}: expected {expected}; actual {actual}")
        self.stamp = stamp
        self.process = process
        self.kind = kind
        self.expected = expected
        self.actual = actual


def told_as(exit_code: int | None, text: str) -> MachineError:
    """What another process could not do, by the exit code that it told of it."""
    kinds: dict[int | None, type[MachineError]] = {
        EXIT_USAGE: UsageError, EXIT_DIVERGED: Diverged, EXIT_UNREADABLE: LogError
    }  # fmt: skip
    return kinds.get(exit_code, MachineError)(text)


def reason_of(error: Exception) -> str:
    """What the host says went wrong, without the number and the path that are told otherwise."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
