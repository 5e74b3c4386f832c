"""supervisord: starting it, asking it, seeing it gone.

Lives here: its process and its XML-RPC over the machine's own socket.
Never here: what its configuration says.
"""

from __future__ import annotations

import errno
import http.client
import os
import select
import signal
import subprocess
import sys
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from deploy.environment import node_environment
from machine.errors import MachineError

if TYPE_CHECKING:
    from types import TracebackType

    from deploy.supervision.place import ServicePlaces

START_S: Final = 20.0
LEAVE_S: Final = 30.0
"""How long supervisord may take to stop what is left and to leave."""
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
        env=node_environment(places.directory),
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise MachineError(f"supervisord did not start: {said[-1] if said else 'it said nothing'}")


class Supervisor:
    """One machine's supervisor, over its socket."""

    def __init__(self, url: str) -> None:
        from supervisor.xmlrpc import SupervisorTransport  # noqa: PLC0415  # loaded where it is asked, not by every command

        self._server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, url))

    @classmethod
    def of(cls, places: ServicePlaces) -> Supervisor:
        """The supervisor of a machine."""
        return cls(f"unix://{places.socket}")

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

    def shut_down(self) -> None:
        """Have it stop what is left and leave; one that has left already is left alone."""
        with suppress(*_TROUBLE):
            self._server.supervisor.shutdown()


def end(places: ServicePlaces, patience_s: float = LEAVE_S) -> None:
    """Have supervisord end all that is left, and wait until it and all of that have gone; kill it behind that."""
    pid = places.supervisor_pid()
    if pid is None:
        return
    with Supervisor.of(places) as supervisor:
        left = [program.pid for program in supervisor.programs() if program.pid]
        supervisor.shut_down()
    killed = not _gone(pid, patience_s)
    if killed:
        _kill(pid)
    for process in left:
        # The broker ends its run in order when its parent has gone, if it can.
        if killed or not _gone(process, LEAVE_S):
            _kill(process)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _gone(pid, LEAVE_S)


def _gone(pid: int, timeout_s: float) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return error.errno == errno.ESRCH
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)
