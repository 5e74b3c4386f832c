"""From a recording and the command line to a run that replays it; shared by replay and verify."""

from __future__ import annotations

import typing
from typing import Final

from deploy.plan import Launch
from deploy.resolve import SERIAL_KIND, with_serial
from machine.errors import EXIT_DONE, UsageError
from machine.message import RunMode, RunState
from machine.recording.facts import check_files
from machine.recording.reader import Recording

if typing.TYPE_CHECKING:
    from deploy.outcome import Outcome
    from machine.board import Board

QUIET_BACKEND: Final = "null"


def plan_replay(
    recording: Recording, devices: str | None, serial: tuple[str, ...] = (), until: int | None = None
) -> Launch:
    """The run that replays a recording, its guest files checked.

    `devices` is `log`, `live` or None, which is live if a serial backend is given.  UsageError if the
    options contradict each other or `until` lies outside the recording; ChangedGuest.
    """
    if devices == "log" and serial:
        raise UsageError("--serial needs running devices: leave out --devices log, or say --devices live")
    end_icount = recording.end_icount
    if until is not None and not 0 <= until <= end_icount:
        raise UsageError(f"--until {until} is outside the recording, which goes from 0 to {end_icount}")
    check_files(recording.facts)
    live = devices == "live" or bool(serial)
    board = live_board(recording.board, serial) if live else recording.board
    mode = RunMode.REPLAY_LIVE if live else RunMode.REPLAY_LOG
    return Launch(board, mode, recording.path, until, end_icount)


def damage_behind(recording: Recording, outcome: Outcome) -> str:
    """Why a replay that came to its end is not all of the recording; "" if it is."""
    if outcome.exit_code != EXIT_DONE or outcome.status.state is not RunState.ENDED:
        return ""
    if recording.clean_end and outcome.status.messages == recording.messages:
        return ""
    return recording.summary().damage


def live_board(board: Board, serial: tuple[str, ...]) -> Board:
    """The recorded board with its serial lines on the given backends, on `null` where none is given."""
    for slot in board.devices:
        if slot.kind == SERIAL_KIND:
            board = board.with_backend(slot.name, QUIET_BACKEND)
    return with_serial(board, serial)
