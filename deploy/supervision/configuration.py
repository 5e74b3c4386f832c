"""Supervisor's configuration for one machine, as text; pure.

Lives here: what is restarted when, where everything is written.  Never here: starting anything.

The words are those of supervisor's manual, "Configuration File".
`startsecs = 0`: a guest may be done within a second, and an orderly end is no failed start.
`autorestart = unexpected` with `exitcodes = 0`: a process that was told to leave has ended; one that died has not.
The broker is stopped first (highest priority): it ends the run in order, and sends the others home.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.environment import RUN_DIRECTORY
from deploy.plan import BROKER
from machine.errors import UsageError
from machine.fdstore import SUPERVISED
from machine.node import STAMPED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.plan import ProcessPlan

LISTENER: Final = "listener"
SUPERVISOR: Final = "supervisord"
BROKER_PRIORITY: Final = 999
NODE_PRIORITY: Final = 500
STOP_S: Final = 15
"""How long a process may take to leave before it is killed."""
HERE: Final = "%(here)s"

_FORBIDDEN: Final = ("\n", "\r", "\0", ";", "#", '"')
"""What supervisor's own reading of the file would take for something else."""

_HEAD: Final = """\
; A dejavm machine under supervisor, written by `dejavm up`: one program a process.
; The order of their start does not matter: the broker waits for all of them.

[unix_http_server]
file = %(here)s/supervisor.sock
chmod = 0700

[supervisord]
identifier = {name}
logfile = %(here)s/logs/{supervisor}.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = %(here)s/supervisord.pid
childlogdir = %(here)s/logs
umask = 077
environment = {environment}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://%(here)s/supervisor.sock
"""

_PROGRAM: Final = """
[program:{name}]
command = {command}
directory = {directory}
priority = {priority}
startsecs = 0
autorestart = {restart}
exitcodes = 0
stopsignal = TERM
stopwaitsecs = {stop_s}
killasgroup = true
redirect_stderr = true
stdout_logfile = %(here)s/logs/{name}.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 1
"""

_EVENTS: Final = """
[eventlistener:{name}]
command = {command}
events = PROCESS_STATE
buffer_size = 256
startsecs = 0
autorestart = unexpected
exitcodes = 0
stdout_logfile = NONE
stderr_logfile = %(here)s/logs/{name}.log
stderr_logfile_maxbytes = 1MB
stderr_logfile_backups = 1
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A machine to be supervised: its name, its processes, and the directory their relative paths start from."""

    name: str
    processes: tuple[ProcessPlan, ...]
    directory: str
    python: str = sys.executable
    import_path: str = ""
    go_on: str = ""
    """The recording with which another broker goes on when one is killed."""
    awaits: bool = False
    """The broker's host has one go on."""


def render(service: Service) -> str:
    """The configuration file; UsageError names what cannot stand in it."""
    environment = {RUN_DIRECTORY: HERE, STAMPED: "1", SUPERVISED: "1"}
    if service.import_path:
        environment["PYTHONPATH"] = _checked(service.import_path).replace("%", "%%")
    pairs = ",".join(f'{key}="{value}"' for key, value in environment.items())
    parts = [_HEAD.format(name=service.name, supervisor=SUPERVISOR, environment=pairs)]
    parts += [_program(process, service.directory) for process in service.processes]
    names = [process.name for process in service.processes]
    if taken := {LISTENER, SUPERVISOR}.intersection(names):
        raise UsageError(f"device.{taken.pop()}.name: a service has a process of that name itself; give it another")
    go_on = ("--go-on", service.go_on) if service.go_on else ("--await-broker",) if service.awaits else ()
    command = (service.python, "-P", "-m", "deploy.supervision.listener", "--directory", HERE, *go_on, *names)
    parts.append(_EVENTS.format(name=LISTENER, command=_command(command)))
    return "".join(parts)


def _program(process: ProcessPlan, directory: str) -> str:
    broker = process.name == BROKER
    return _PROGRAM.format(
        name=process.name,
        command=_command(process.argv),
        directory=_checked_directory(directory).replace("%", "%%"),
        priority=BROKER_PRIORITY if broker else NODE_PRIORITY,
        # The listener starts another, when the machine has been taken back.
        restart="false" if broker else "unexpected",
        stop_s=STOP_S,
    )


def _command(argv: Sequence[str]) -> str:
    """A command line as supervisor reads it: shell quoting, % doubled but in %(here)s."""
    return shlex.join([_checked(word) for word in argv]).replace("%", "%%").replace(f"%{HERE}", HERE)


def _checked_directory(directory: str) -> str:
    """UsageError for one that supervisor would take for another."""
    if HERE in directory or directory != directory.strip():
        raise UsageError(f"{directory!r}: supervisor's configuration cannot hold this directory; stand in another")
    return _checked(directory)


def _checked(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{word!r} is not UTF-8, as supervisor's configuration is; use another path") from error
    for char in _FORBIDDEN:
        if char in word:
            raise UsageError(f"{word!r}: supervisor's configuration cannot hold {char!r}; use a path without it")
    return word
