"""What a recording can be replayed with as it lies here: its board and its guest's files, checked.

Lives here: what every replay and every verification starts from, whoever replays it.
Never here: which processes do (deploy/replaying.py, deploy/analysis/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.environment import cache_directory
from machine.errors import LogError
from machine.recording.facts import check_versions
from machine.recording.files import board_here
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from pathlib import Path

    from machine.board import Board
    from machine.recording.reader import Recording


def replayable(recording: Recording) -> Board:
    """The board that replays a recording from its log, with the paths that its guest's files have here.

    LogError if its bytes are not those of the run, or if what it begins with is missing; ChangedGuest.
    """
    facts = recording.facts
    if facts.redacted:
        channels = ", ".join(facts.redacted)
        raise LogError(f"{recording.path}: its bytes have been redacted ({channels}); it can be read, not replayed")
    check_versions(facts)
    board = board_here(recording, built_files)
    if facts.snapshot and not SnapshotStore(recording.path, facts.id).holds(facts.snapshot):
        raise LogError(f"{recording.path}: the snapshot that it begins with is missing: number {facts.snapshot}")
    return board


def built_files() -> tuple[Path, ...]:
    """The files of the built guest, which an unpacked recording may mean."""
    # Imported here: most recordings have their files where they were.
    from deploy.guest import find_guest  # noqa: PLC0415

    guest = find_guest(cache_directory())
    return () if guest is None else (guest.kernel, guest.initrd)


def unclosed(recording: Recording) -> str:
    """What the user is told of a recording without an end; "" of any other."""
    if recording.clean_end or recording.facts.cut is not None:
        return ""
    extent = f"whole up to instruction {recording.end_icount:,}, message {recording.messages:,}"
    return f"{recording.path} was not closed, the run was cut short: it is {extent}"
