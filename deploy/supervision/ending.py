"""Ending a machine that is up: the guest is powered off, the run ends in order, then nothing is left.

Lives here: the steps and their deadlines.  Never here: what the processes do.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from deploy.outcome import TERMINAL_STATES
from deploy.supervision import daemon
from deploy.supervision.machine_end import end_of
from deploy.supervision.place import give_back
from deploy.supervision.report import reach, read_end, verdict_on
from machine.errors import ConnectionLost, MachineError
from machine.message import RunState, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.control import Control
    from deploy.supervision.place import ServicePlaces

QUIT_S: Final = 15.0
"""How long a run may take to its next sync point and to the end of its log."""
END_FILE_S: Final = 5.0
"""How long the listener may take to write down the end that the broker has told."""
ANSWER_S: Final = 5.0
"""How long the broker may take to answer."""
HANGING_S: Final = 3.0
"""How long the processes of a run that does not end may take to leave."""
POLL_S: Final = 0.1
CUT_SHORT: Final = "CUT SHORT"


class Manner(Enum):
    """How a run has ended, as far as it has."""

    POWERED_OFF = 1
    ENDED = 2
    HANGS = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went, and whether the guest switched itself off."""

    state: str
    """The machine's last word; CUT_SHORT if it had none, "" if it had gone before."""
    detail: str
    exit_code: int
    powered_off: bool


def end_machine(places: ServicePlaces, patience_s: float, say: Callable[[str], None]) -> Ended:
    """Power the guest off or end the run; afterwards no process, socket or file of the machine is left."""
    manner, told = Manner.ENDED, None
    was_up = places.supervisor_pid() is not None
    if was_up:
        try:
            manner, told = _reach_and_end(places, patience_s, say)
        except MachineError as error:
            say(f"{places.name}: the broker cannot be asked, only what is on this host is ended: {error}")
    # Where the listener has not written down what the broker told, it was told here, too.
    last = read_end(places) or ({} if told is None else asdict(end_of(told)))
    daemon.end(places, HANGING_S if manner is Manner.HANGS else daemon.LEAVE_S)
    give_back(places)
    state = str(last.get("state", CUT_SHORT if was_up else ""))
    code, detail = verdict_on(last)
    return Ended(state, detail, code, manner is Manner.POWERED_OFF)


def _reach_and_end(
    places: ServicePlaces, patience_s: float, say: Callable[[str], None]
) -> tuple[Manner, Status | None]:
    """The last is what the broker says of the end.  MachineError if a key cannot be read, or is not known there."""
    control = reach(places)
    try:
        return _end_run(places, control, patience_s, say)
    finally:
        control.close(0)


def _end_run(
    places: ServicePlaces, control: Control, patience_s: float, say: Callable[[str], None]
) -> tuple[Manner, Status | None]:
    status = _await(places, control, ANSWER_S, lambda _: True)
    if read_end(places) is not None:
        return Manner.ENDED, None
    if status is None:
        say(f"{places.name}: the broker does not answer: only what is on this host is ended")
        return Manner.HANGS, None
    manner = Manner.ENDED
    over: Status | None = status
    if status.state not in TERMINAL_STATES:
        if status.state is RunState.RUNNING and patience_s > 0 and _power_off(places, control, patience_s, say):
            manner = Manner.POWERED_OFF
        else:
            control.quit()
        over = _await(places, control, QUIT_S, lambda s: s.state in TERMINAL_STATES)
        if over is None and read_end(places) is None:
            say(f"{places.name}: the run has not ended within {QUIT_S:.0f} s; its processes are ended as they are")
            return Manner.HANGS, None
    _await(places, control, END_FILE_S, lambda _: False)
    return manner, over


def _power_off(places: ServicePlaces, control: Control, patience_s: float, say: Callable[[str], None]) -> bool:
    """Whether the guest has switched itself off."""
    try:
        why = control.press_power(ANSWER_S)
    except ConnectionLost:
        why = ""
        control.renew()
    if why:
        say(f"the guest cannot be switched off, the run is ended: {why}")
        return False
    status = _await(places, control, patience_s, lambda s: s.state in TERMINAL_STATES)
    if read_end(places) is None and status is None:
        say(f"the guest has not switched off within {patience_s:.0f} s; the run is ended")
        return False
    return True


def _await(
    places: ServicePlaces, control: Control, timeout_s: float, wanted: Callable[[Status], bool]
) -> Status | None:
    """The first status that is wanted; None when none comes in time or the machine's last word is written.

    A connection that breaks is made anew: where the run is over the broker leaves, and the listener of this host is
    about to write down what it has said.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and read_end(places) is None:
        status = control.heard()
        if status is not None and wanted(status):
            return status
        control.wait(POLL_S)
    return None
