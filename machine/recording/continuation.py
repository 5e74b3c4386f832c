"""A recording that its broker's process has left in the middle: where it can be gone on with, and where it has been.

Going on needs a place at which nothing is under way, and a state of every process there (docs/faults.md, The broker).

Lives here: finding the place, and the [[recording.continued]] tables of machine.toml.
Never here: going there, writing the log.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.codec import type_of
from machine.errors import LogError, SnapshotError, TruncatedLog
from machine.icount import CPU
from machine.message import Done, End, HostInput, MmioAccess, Reset, SyncPoint, TimerExpired
from machine.recording.layout import LOG_NAME, MACHINE_NAME, PART_SUFFIX
from machine.recording.snapshots.snapshot import point_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from machine.frame import Frame
    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from machine.recording.snapshots.store import Head, SnapshotStore

_SYNC_POINT: Final = type_of(SyncPoint)
_END: Final = type_of(End)
_DONE: Final = type_of(Done)
_ANSWERED: Final = frozenset({type_of(MmioAccess), type_of(TimerExpired), type_of(HostInput), type_of(Reset)})
"""What a device answers with Done, when all that follows from it has been said."""

DIED: Final = "broker-died"
"""In the running machine's directory between a broker that was killed and the next: a link to who had started it, which
leads nowhere.  A full file system has room for a link, where it has none for a file's first byte."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_STARTED: Final = 19
"""Of what stands behind a process's name in /proc/PID/stat: when it was started (proc_pid_stat(5), field 22)."""


@dataclass(frozen=True, slots=True)
class Continued:
    """Another broker went on behind message `seq`, at instruction `icount`."""

    seq: int
    icount: int


@dataclass(frozen=True, slots=True)
class Extent:
    """What is good of a log that was not closed."""

    last: int
    """The number of its last message; of the last one in front of the log where it has none."""
    icount: int
    """The instruction of that message."""
    ended: bool
    """The last message is End: only the log's own end is missing."""
    settled: bool
    """No device had anything under way behind the last message."""
    synced: int
    """The instruction of its last sync point of a new instruction count; 0 if there is none behind the newest snapshot,
    or power-on."""


def note_death(directory: Path, starter: int) -> None:
    """A broker of the machine in that directory was killed, which the process `starter` had started; OSError."""
    mark = directory / DIED
    mark.unlink(missing_ok=True)
    mark.symlink_to(_life_of(starter))


def take_note(directory: Path, starter: int) -> bool:
    """Whether a broker that this process had started was killed there; another's was that of an earlier run.

    The note is for one successor: it is gone afterwards, whoever's it was.
    """
    try:
        return os.readlink(directory / DIED) == _life_of(starter)
    except OSError:
        return False
    finally:
        (directory / DIED).unlink(missing_ok=True)


def _life_of(pid: int) -> str:
    """What no other process ever has, on this host."""
    # A program's name may be any bytes.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()
    return f"{_BOOT.read_text().strip()}-{pid}-{fields[_STARTED]}"


def is_begun(directory: Path) -> bool:
    """Whether a recording was begun there, so far that it can be opened."""
    return (directory / MACHINE_NAME).is_file() and (directory / LOG_NAME).is_file()


def clear_unbegun(directory: Path) -> None:
    """Remove what a writer has left that was killed before it had begun; what is anything else stays."""
    with suppress(OSError):
        for name in (MACHINE_NAME, f"{MACHINE_NAME}{PART_SUFFIX}"):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def extent_of(recording: Recording, store: SnapshotStore, nodes: Set[str]) -> Extent:
    """Reads the log from the newest snapshot of all nodes on, or all of it.

    LogError if it is damaged, which a writer that is killed does not do.
    """
    for head in _whole(store, nodes):
        # One that was made behind what the host has of the log is of no use, nor is one that is damaged.
        with suppress(LogError, SnapshotError):
            point = point_of(store.read(head.number))
            return _read_on(recording.frames(point), point)
    return _read_on(_readable(recording.frames()), recording.beginning)


def _whole(store: SnapshotStore, nodes: Set[str]) -> list[Head]:
    """The snapshots with the states of all nodes, the newest first."""
    heads = [head for head in store.list() if nodes <= {*head.nodes}]
    return sorted(heads, key=lambda head: (head.seq, head.number), reverse=True)


def _read_on(frames: Iterator[Frame], begin: Point) -> Extent:
    """No device has anything under way where they begin."""
    seq, icount = begin.seq, begin.place.icount
    synced = 0
    last: Frame | None = None
    owed: Counter[int] = Counter()
    for last in frames:
        if last.type == _DONE:
            owed[last.source] -= 1
        elif last.type in _ANSWERED and last.target > CPU:
            owed[last.target] += 1
        if last.type == _SYNC_POINT and last.icount > icount:
            synced = last.icount
        seq, icount = last.seq, last.icount
    return Extent(seq, icount, last is not None and last.type == _END, not any(owed.values()), synced)


def whole_snapshot(store: SnapshotStore, extent: Extent, nodes: Set[str]) -> Head | None:
    """The newest snapshot with the states of all nodes whose messages are all in the log."""
    return next((head for head in _whole(store, nodes) if head.seq <= extent.last), None)


def render_continued(continued: tuple[Continued, ...]) -> list[str]:
    """The tables, a line each."""
    lines: list[str] = []
    for each in continued:
        lines += ["", "[[recording.continued]]", f"seq = {each.seq}", f"icount = {each.icount}"]
    return lines


def parse_continued(tables: object, source: str) -> tuple[Continued, ...]:
    """What a parsed [recording] table has of them; LogError."""
    found = []
    for table in tables if isinstance(tables, list) else [tables]:
        seq, icount = (table.get("seq"), table.get("icount")) if isinstance(table, dict) else (None, None)
        if type(seq) is not int or type(icount) is not int or min(seq, icount) < 0:
            raise LogError(f"{source}: recording.continued: each is a table with the numbers seq and icount")
        found.append(Continued(seq, icount))
    return tuple(found)


def _readable(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The messages; a log of which not even the header is whole has none."""
    began = False
    try:
        for frame in frames:
            began = True
            yield frame
    except TruncatedLog:
        if began:
            raise
