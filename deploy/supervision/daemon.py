"""supervisord: starting it, asking it, seeing it gone.

Lives here: its process and its XML-RPC over the machine's own socket.
Never here: what its configuration says.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from deploy.environment import service_environment
from deploy.supervision.remains import await_gone, end_remains
from machine.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from deploy.supervision.place import ServicePlaces

START_S: Final = 20.0
ENDED_EARLY: Final = "it was ended before its guest ran"
"""By a `down` at the same time, for one."""
ERROR: Final = "Error: "
"""In front of what is wrong, behind which supervisord says how it is called."""
LEAVE_S: Final = 30.0
"""How long supervisord may take to stop what is left and to leave."""
ABANDON_S: Final = 2.0
"""The same for the processes of a machine that is not worth an orderly end."""
RUNNING_STATES: Final = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
_TROUBLE: Final = (OSError, http.client.HTTPException, xmlrpc.client.Error)


@dataclass(frozen=True, slots=True)
class Program:
    """One process as supervisor sees it."""

    name: str
    state: str
    pid: int


def start(places: ServicePlaces) -> None:
    """Start supervisord in the background; MachineError with what it said if it does not."""
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(places.configuration)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
        cwd=places.directory,
        env=service_environment(places.directory),
    )
    if done.returncode < 0 or (done.returncode and not places.directory.exists()):
        raise MachineError(ENDED_EARLY)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = next((line for line in said if line.startswith(ERROR)), said[-1] if said else "it said nothing")
        raise MachineError(f"supervisord did not start: {why.removeprefix(ERROR)}")


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, patience_s: float | None) -> None:
        super().__init__("localhost", timeout=patience_s)
        self._path = path

    def connect(self) -> None:
        """OSError, which a timeout is, too."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket; supervisor's own waits for ever."""

    def __init__(self, path: Path, patience_s: float | None) -> None:
        super().__init__()
        self._unix = _Connection(path, patience_s)

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # there is one
        """The one there is."""
        return self._unix

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._unix.close()


class Supervisor:
    """One machine's supervisor, over its socket."""

    def __init__(self, path: Path, patience_s: float | None = None) -> None:
        self._server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=_Transport(path, patience_s))

    @classmethod
    def of(cls, places: ServicePlaces, patience_s: float | None = None) -> Supervisor:
        """The supervisor of a machine, which may take so long to answer; None: as long as it is there."""
        return cls(places.socket, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server("close")()

    def programs(self) -> list[Program]:
        """Its processes; none if it does not answer."""
        try:
            rows: Any = self._server.supervisor.getAllProcessInfo()
        except _TROUBLE:
            return []
        return [Program(row["name"], row["statename"], row["pid"]) for row in rows]

    def stop(self, name: str) -> None:
        """Tell one process to leave; one that has left already is left alone."""
        with suppress(*_TROUBLE):
            self._server.supervisor.stopProcess(name, False)

    def start(self, name: str) -> None:
        """Start one process that has left; one that is there is left alone."""
        with suppress(*_TROUBLE):
            self._server.supervisor.startProcess(name, False)


def end(places: ServicePlaces, patience_s: float = LEAVE_S) -> None:
    """Have supervisord end all that is left, and wait until it and all of that have gone; kill it behind that."""
    pid = places.supervisor_pid()
    if pid is not None:
        # A signal and no call: it may not listen yet, or not any more.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not await_gone((pid,), patience_s):
            _kill(pid)
    # Without supervisord, too: it may have been killed.
    end_remains(places.directory, patience_s)


def abandon(places: ServicePlaces) -> None:
    """End all that there is of a machine whose guest did not come to run.

    supervisord would start what it was about to start, and wait: a signal that reaches a process of its before that is
    itself is lost.
    """
    pid = places.supervisor_pid()
    if pid is not None:
        _kill(pid)
    end_remains(places.directory, ABANDON_S)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    await_gone((pid,), LEAVE_S)
