"""Ending a machine that is up: the guest is powered off, the run ends in order, then nothing is left.

Lives here: the steps and their deadlines.  Never here: what the processes do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.outcome import TERMINAL_STATES
from deploy.supervision import daemon
from deploy.supervision.place import give_back
from deploy.supervision.report import reach, read_end
from machine.errors import MachineError
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
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went: what the machine's last word was, and whether the guest switched itself off."""

    state: str
    detail: str
    powered_off: bool


def end_machine(places: ServicePlaces, patience_s: float, say: Callable[[str], None]) -> Ended:
    """Power the guest off or end the run; afterwards no process, socket or file of the machine is left."""
    powered_off = False
    if places.supervisor_pid() is not None:
        try:
            powered_off = _reach_and_end(places, patience_s, say)
        except MachineError as error:
            say(f"{places.name}: the broker cannot be asked, only what is on this host is ended: {error}")
    last = read_end(places) or {}
    daemon.end(places)
    give_back(places)
    return Ended(str(last.get("state", "")), str(last.get("detail", "")), powered_off)


def _reach_and_end(places: ServicePlaces, patience_s: float, say: Callable[[str], None]) -> bool:
    """Whether the guest has switched itself off.  MachineError if a key cannot be read, or is not known there."""
    control = reach(places)
    try:
        return _end_run(places, control, patience_s, say)
    finally:
        control.close(0)


def _end_run(places: ServicePlaces, control: Control, patience_s: float, say: Callable[[str], None]) -> bool:
    """Whether the guest has switched itself off."""
    status = _await(places, control, ANSWER_S, lambda _: True)
    if read_end(places) is not None or (status is not None and status.state in TERMINAL_STATES):
        return False
    if status is None:
        say(f"{places.name}: the broker does not answer: only what is on this host is ended")
        return False
    powered_off = False
    if status.state is RunState.RUNNING and patience_s > 0:
        if why := control.press_power(ANSWER_S):
            say(f"the guest cannot be switched off, the run is ended: {why}")
        else:
            status = _await(places, control, patience_s, lambda s: s.state in TERMINAL_STATES)
            powered_off = read_end(places) is not None or status is not None
            if not powered_off:
                say(f"the guest has not switched off within {patience_s:.0f} s; the run is ended")
    if not powered_off:
        control.quit()
        _await(places, control, QUIT_S, lambda s: s.state in TERMINAL_STATES)
    _await(places, control, END_FILE_S, lambda _: False)
    return powered_off


def _await(
    places: ServicePlaces, control: Control, timeout_s: float, wanted: Callable[[Status], bool]
) -> Status | None:
    """The first status that is wanted; None when none comes in time or the machine's last word is written."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and read_end(places) is None:
        control.ask()
        status = control.latest()
        if status is not None and wanted(status):
            return status
        control.wait(POLL_S)
    return None
