"""A machine under supervisor whose broker was killed: its other processes leave, it is taken back, all start again.

Lives here: the steps, without waiting for any of them.  Never here: how it is taken back (deploy/continuing.py).
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from deploy.continuing import Place
from deploy.deaths import Deaths
from machine.errors import MachineError
from machine.node import starter
from machine.recording.continuation import note_death

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.supervision.daemon import Supervisor
    from deploy.supervision.place import ServicePlaces

log = logging.getLogger("dejavm")

LAST_WORDS: Final = 400
"""Of what was said of why it cannot be, in the machine's last word."""


class Returning:
    """What is done about one machine's brokers, one after the other."""

    def __init__(
        self, places: ServicePlaces, recording: str, nodes: Sequence[str], supervisor: Supervisor, poller: select.poll
    ) -> None:
        """`poller`: what its user waits with, which is woken when there may be another step to do."""
        self._places = places
        self._poller = poller
        self._recording = recording
        self._nodes = nodes
        self._supervisor = supervisor
        self._deaths = Deaths()
        self._process: subprocess.Popen[str] | None = None
        self._ended = -1
        """Readable when that has ended."""
        self._leaving = False
        self._dismissed: set[int] = set()

    @property
    def under_way(self) -> bool:
        """Whether there is no broker because of it."""
        return self._leaving or self._process is not None

    def begin(self) -> None:
        """The broker was killed."""
        self._places.say_returning("its broker was killed; it is taken back to where its recording ends")
        log.warning("the broker was killed; the machine is taken back to where its recording ends")
        note_death(self._places.directory, starter())
        self._leaving = True
        self.go_on()

    def is_dismissed(self, pid: int) -> bool:
        """Whether a process was told to leave because of it, which is no news."""
        return pid in self._dismissed

    def go_on(self) -> bool:
        """One more step; True when all have been started again.  MachineError when there is no way back."""
        if self._leaving:
            self._leaving = not self._all_gone()
            if not self._leaving:
                self._take_back()
            return False
        assert self._process is not None
        if self._process.poll() is None:
            return False
        process, self._process = self._process, None
        self._poller.unregister(self._ended)
        os.close(self._ended)
        said, _ = process.communicate()
        if process.returncode < 0:
            self._deaths.again(0)
            self._take_back()
            return False
        if process.returncode:
            raise MachineError(said.strip()[:LAST_WORDS] or "it cannot be taken back")
        seq, icount = map(int, said.split())
        self._deaths.again(seq)
        log.warning("another broker goes on from %s", Place(seq, icount))
        for name in self._nodes:
            self._supervisor.start(name)
        self._places.returning.unlink(missing_ok=True)
        return True

    def _all_gone(self) -> bool:
        """Have those leave that are there, or are started again, since nobody else tells them to."""
        there = [program for program in self._supervisor.programs() if program.name in self._nodes and program.pid]
        for program in there:
            if program.pid not in self._dismissed:
                self._dismissed.add(program.pid)
                self._supervisor.stop(program.name)
        return not there

    def _take_back(self) -> None:
        command = (sys.executable, "-P", "-m", "deploy.continuing", self._recording)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._ended = os.pidfd_open(self._process.pid)
        self._poller.register(self._ended, select.POLLIN)
