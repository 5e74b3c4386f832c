"""From a recording and the command line to a run that replays it; shared by replay and verify."""

from __future__ import annotations

import typing

from deploy.devices import NO_WORDS, DeviceWords, with_listeners
from deploy.plan import Launch
from deploy.replayable import replayable
from deploy.snapshotting import nearest_snapshot
from machine.errors import EXIT_DONE, Interrupted, UsageError
from machine.message import RunMode, RunState
from machine.recording.snapshots.store import SnapshotStore

if typing.TYPE_CHECKING:
    from deploy.outcome import Outcome
    from machine.board import Board
    from machine.recording.reader import Recording


def plan_replay(
    recording: Recording,
    devices: str | None,
    words: DeviceWords = NO_WORDS,
    until: int | None = None,
    seek: int | None = None,
    end_icount: int | None = None,
) -> Launch:
    """The run that replays a recording, its guest files checked.

    `devices` is `log`, `live` or None, which is live if a backend is given.  UsageError if the options contradict
    each other, or `until`, or `seek`, which is the same from the last snapshot before, lies outside the recording, or
    if devices are to run that have no state where it begins; ChangedGuest.  `end_icount` is where the recording ends,
    for who has read that already.
    """
    if devices == "log" and words.given():
        option = words.given()[0]
        raise UsageError(f"--{option} needs running devices: leave out --devices log, or say --devices live")
    first, parent = recording.begin_icount, recording.facts.parent
    if end_icount is None:
        end_icount = recording.end_icount
    before = f"; what is before is in its parent, {parent.path}" if parent else ""
    for option, goal in (("until", until), ("seek", seek)):
        if goal is not None and not first <= goal <= end_icount:
            raise UsageError(
                f"--{option} {goal} is outside the recording, which goes from {first} to {end_icount}{before}"
            )
    live = devices == "live" or bool(words.given())
    board = replayable(recording)
    if live:
        board = with_listeners(board, words)
    mode = RunMode.REPLAY_LIVE if live else RunMode.REPLAY_LOG
    near = 0
    if seek is not None:
        nodes = ("cpu", *(slot.name for slot in board.devices)) if live else ("cpu",)
        until, near = seek, nearest_snapshot(recording, seek, nodes)
    if live and not near:
        _check_beginning(recording, board)
    snapshot = near or recording.facts.snapshot
    return Launch(board, mode, recording.path, until, end_icount, snapshot=snapshot)


def _check_beginning(recording: Recording, board: Board) -> None:
    """UsageError if not every device can begin where it does: who has made its snapshot had the CPU alone."""
    snapshot = recording.facts.snapshot
    if not snapshot:
        return
    there = {node.name for node in SnapshotStore(recording.path, recording.facts.id).read(snapshot).nodes}
    if missing := [slot.name for slot in board.devices if slot.name not in there]:
        raise UsageError(
            f"{recording.path}: it begins with a snapshot that has no state of {', '.join(missing)}: it replays from"
            " the log, without running devices; what is cut at a snapshot of `record --snapshot-every` has all"
        )


def refuse_interrupted(recording: Recording, outcome: Outcome, goal: int | None = None) -> None:
    """Interrupted, if the user has ended the replay before it came to its goal, by default the end."""
    status = outcome.status
    if status.state is RunState.STOPPED and (goal is None or status.icount < goal):
        raise Interrupted(f"{recording.path}: interrupted; it is bit-exact as far as instruction {status.icount:,}")


def damage_behind(recording: Recording, outcome: Outcome) -> str:
    """Why a replay that came to its end is not all of the recording; "" if it is."""
    if outcome.exit_code != EXIT_DONE or outcome.status.state is not RunState.ENDED:
        return ""
    if recording.clean_end and outcome.status.messages == recording.messages:
        return ""
    return recording.summary().damage
