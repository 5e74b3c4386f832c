"""Which processes of this host are a machine's, by what they were started with, and their end.

Each is started with the machine's directory in its environment, supervisord and what backends start among them.  A
process number in a file may be another's by now; an environment is nobody else's.

Lives here: finding, ending, waiting.  Never here: the order in which a run is ended.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.environment import RUN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

MS: Final = 1000


def belongs(pid: int, directory: Path) -> bool:
    """Whether a process lives, and was started for the machine in that directory."""
    try:
        return f"{RUN_DIRECTORY}={directory}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def remains(directory: Path) -> list[int]:
    """Every living process of the machine in that directory but ourselves."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and belongs(pid, directory)]


def end_remains(directory: Path, timeout_s: float) -> None:
    """End all that is left of a machine, at first with a word, and wait until it has gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = remains(directory)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        await_gone(pids, timeout_s)


def await_gone(pids: Sequence[int], timeout_s: float) -> bool:
    """Wait for the ends of processes that are not our children; whether all have come."""
    deadline = time.monotonic() + timeout_s
    return all(_gone(pid, max(0.0, deadline - time.monotonic())) for pid in pids)


def _gone(pid: int, timeout_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return error.errno == errno.ESRCH
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * MS))
    finally:
        os.close(descriptor)
