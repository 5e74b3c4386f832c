"""From a recording and the command line to a run that replays it; shared by replay and verify."""

from __future__ import annotations

import typing

from deploy.devices import NO_WORDS, DeviceWords, with_listeners
from deploy.environment import cache_directory
from deploy.plan import Launch
from deploy.snapshotting import nearest_snapshot
from machine.errors import EXIT_DONE, LogError, UsageError
from machine.message import RunMode, RunState
from machine.recording.facts import check_versions
from machine.recording.files import board_here
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore

if typing.TYPE_CHECKING:
    from pathlib import Path

    from deploy.outcome import Outcome


def plan_replay(
    recording: Recording,
    devices: str | None,
    words: DeviceWords = NO_WORDS,
    until: int | None = None,
    seek: int | None = None,
) -> Launch:
    """The run that replays a recording, its guest files checked.

    `devices` is `log`, `live` or None, which is live if a backend is given.  UsageError if the options contradict
    each other, or `until`, or `seek`, which is the same from the last snapshot before, lies outside the recording;
    ChangedGuest.
    """
    if devices == "log" and words.given():
        option = words.given()[0]
        raise UsageError(f"--{option} needs running devices: leave out --devices log, or say --devices live")
    first, end_icount, parent = recording.begin_icount, recording.end_icount, recording.facts.parent
    before = f"; what is before is in its parent, {parent.path}" if parent else ""
    for option, goal in (("until", until), ("seek", seek)):
        if goal is not None and not first <= goal <= end_icount:
            raise UsageError(
                f"--{option} {goal} is outside the recording, which goes from {first} to {end_icount}{before}"
            )
    if recording.facts.redacted:
        channels = ", ".join(recording.facts.redacted)
        raise LogError(f"{recording.path}: its bytes have been redacted ({channels}); it can be read, not replayed")
    check_versions(recording.facts)
    live = devices == "live" or bool(words.given())
    board = board_here(recording, built_files)
    if live:
        board = with_listeners(board, words)
    mode = RunMode.REPLAY_LIVE if live else RunMode.REPLAY_LOG
    snapshot = recording.facts.snapshot
    if snapshot and not SnapshotStore(recording.path, recording.facts.id).holds(snapshot):
        raise LogError(f"{recording.path}: the snapshot that it begins with is missing: number {snapshot}")
    if seek is not None:
        nodes = ("cpu", *(slot.name for slot in board.devices)) if live else ("cpu",)
        until, snapshot = seek, nearest_snapshot(recording, seek, nodes) or snapshot
    return Launch(board, mode, recording.path, until, end_icount, snapshot=snapshot)


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


def damage_behind(recording: Recording, outcome: Outcome) -> str:
    """Why a replay that came to its end is not all of the recording; "" if it is."""
    if outcome.exit_code != EXIT_DONE or outcome.status.state is not RunState.ENDED:
        return ""
    if recording.clean_end and outcome.status.messages == recording.messages:
        return ""
    return recording.summary().damage
