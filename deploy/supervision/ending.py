"""Ending a machine that is up: the guest is powered off, the run ends in order, then nothing is left.

Lives here: the steps and their deadlines.  Never here: what the processes do.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.outcome import TERMINAL_STATES
from deploy.supervision import daemon
from deploy.supervision.place import give_back
from deploy.supervision.report import reach, read_end
from machine.message import RunState, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.control import Control
    from deploy.supervision.place import ServicePlaces

QUIT_S: Final = 15.0
"""How long a run may take to its next sync point and to the end of its log."""
END_FILE_S: Final = 5.0
"""How long the listener may take to write down the end that the broker has told."""
QMP_S: Final = 5.0
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
        control = reach(places)
        try:
            powered_off = _end_run(places, control, patience_s, say)
        finally:
            control.close(0)
    last = read_end(places) or {}
    daemon.end(places)
    give_back(places)
    return Ended(str(last.get("state", "")), str(last.get("detail", "")), powered_off)


def _end_run(places: ServicePlaces, control: Control, patience_s: float, say: Callable[[str], None]) -> bool:
    """Whether the guest has switched itself off."""
    status = _await(places, control, QMP_S, lambda _: True)
    if read_end(places) is not None or status is None or status.state in TERMINAL_STATES:
        return False
    powered_off = False
    if status.state is RunState.RUNNING and patience_s > 0 and _press_power(places):
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


def _press_power(places: ServicePlaces) -> bool:
    """Press the power key of the first keyboard; False where there is none or nobody can be asked."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as qmp:
        qmp.settimeout(QMP_S)
        qmp.connect(str(places.directory / "qmp"))
        with qmp.makefile("rwb") as stream:
            stream.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                stream.write(json.dumps({"execute": command}).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
                if "error" in answer:
                    return False
            return True
    return False
