"""Where machines that run as services have their directories, and who has which name.

Lives here: claiming a name and giving it back.  Never here: what is in the files.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.environment import runtime_directory
from deploy.plan import Places
from deploy.supervision.remains import belongs
from machine.errors import MachineError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

DESERTED: Final = "its supervisor has gone; clear it away with: dejavm down {0}"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,19}")
"""Short: the sockets' paths have 108 characters, and supervisor adds some of its own."""


@dataclass(frozen=True, slots=True)
class ServicePlaces(Places):
    """The directory of a machine that runs as a service."""

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.directory.name

    @property
    def configuration(self) -> Path:
        """Supervisor's configuration."""
        return self.directory / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """Supervisor's control socket."""
        return self.directory / "supervisor.sock"

    @property
    def pid_file(self) -> Path:
        """Supervisor's process id."""
        return self.directory / "supervisord.pid"

    @property
    def logs(self) -> Path:
        """What the processes write, one file each."""
        return self.directory / "logs"

    @property
    def processes(self) -> list[str]:
        """Those that have written something, or are about to, by name."""
        return sorted(path.stem for path in self.logs.glob("*.log"))

    @property
    def facts(self) -> Path:
        """What `up` was asked for."""
        return self.directory / "up.json"

    @property
    def end(self) -> Path:
        """How the machine ended; there once it has."""
        return self.directory / "end.json"

    @property
    def returning(self) -> Path:
        """What is said of a machine that has no broker and will have one; there meanwhile."""
        return self.directory / "returning"

    def say_returning(self, why: str) -> None:
        """There is no broker, and will be one; where there is no room for the reason, that alone."""
        with suppress(OSError):
            self.returning.write_text(f"{why}\n")

    def read_returning(self) -> str:
        """Why there is no broker and will be one; "" if that is not so."""
        try:
            return self.returning.read_text().strip() or "another broker is waited for"
        except OSError:
            return ""

    @property
    def started_ns(self) -> int:
        """When supervisor has started, by the host's clock, which may be set: this tells one start from another.

        0 if it has not.
        """
        try:
            return self.pid_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def is_deserted(self) -> bool:
        """Whether its supervisor was there and has gone: killed, told to by its own tools, or by a `down` just now."""
        return self.supervisor_pid() is None and (self.pid_file.exists() or self.end.exists())

    def supervisor_pid(self) -> int | None:
        """The living supervisor's process, if there is one."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if belongs(pid, self.directory) else None


def machines_directory() -> Path:
    """Where all of this user's machines are."""
    return runtime_directory() / f"dejavm-{os.getuid()}"


def claim(name: str) -> ServicePlaces:
    """A new directory for a machine of that name; UsageError if the name is in use or is none."""
    if NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} is no name for a machine: small letters, digits, - and _, at most 20")
    home = machines_directory()
    try:
        with suppress(FileExistsError):
            home.mkdir(mode=0o700)
        found = home.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise MachineError(f"{home}: is no directory of our own that nobody else may enter; remove it")
        places = ServicePlaces(home / name)
        places.directory.mkdir(mode=0o700)
        places.logs.mkdir()
    except FileExistsError:
        raise UsageError(_taken(ServicePlaces(home / name))) from None
    except OSError as error:
        raise MachineError(f"{home}: cannot make the machine's directory: {error.strerror}") from error
    return places


def find(name: str | None, naming: str) -> ServicePlaces:
    """The machine of that name, or the only one there is; UsageError if there is none or no only one.

    `naming` is what stands in front of a machine's name on the command line, `dejavm down`.
    """
    known = everybody()
    if not known:
        raise UsageError(f"no machine {name + ' ' if name else ''}is up here; start one with: dejavm up")
    names = ", ".join(places.name for places in known)
    if name is not None:
        places = next((places for places in known if places.name == name), None)
        if places is None:
            of = next((places.name for places in known if name in places.processes), "")
            hint = f"{name} is a process of {of}" if of else f"there are: {names}"
            raise UsageError(f"no machine {name} is up here ({hint})")
        return places
    if len(known) != 1:
        raise UsageError(f"say which machine, one of {names}: {naming} {known[0].name}")
    return known[0]


def everybody() -> list[ServicePlaces]:
    """Every machine that is up, by name."""
    home = machines_directory()
    try:
        return sorted((ServicePlaces(path) for path in home.iterdir() if path.is_dir()), key=lambda p: p.name)
    except OSError:
        return []


def give_back(places: ServicePlaces) -> None:
    """Remove the machine's directory; the name is free."""
    shutil.rmtree(places.directory, ignore_errors=True)
    with suppress(OSError):
        places.directory.parent.rmdir()


def _taken(places: ServicePlaces) -> str:
    name = places.name
    if places.is_deserted():
        return f"a machine {name} was here, {DESERTED.format(name)}"
    if places.supervisor_pid() is None:
        return f"a machine {name} is just starting, or ending; end it with: dejavm down {name}, or give another --name"
    return f"a machine {name} is up already; end it with: dejavm down {name}, or give another --name"
