"""Hands made of text: keys, movements and delays from a file, in virtual time (docs/monitor.md, Input scripts).

One group is on its way at a time, and the next follows its delivery: nothing of the host's decides when,
so a closed guest with a script runs the same in every recording.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices.backends.base import BackendBase
from devices.backends.input.scriptfile import Group, Step, parse_input_script
from devices.backends.steps import Delay, QuitRun
from machine import vmstate
from machine.errors import BackendError, reason_of
from machine.message import HostEvent

if TYPE_CHECKING:
    from devices.model import Submit


@vmstate.vmstate("input-script-place", 1)
@dataclass(slots=True)
class InputPlace:
    """How far a script has come."""

    left: int
    """Steps."""
    on_its_way: bytes
    delay_ns: int
    quits: bool


class InputScriptBackend(BackendBase):
    """The steps that are left, and the group that is on its way."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._steps: deque[Step] = deque()
        self._on_its_way = b""
        self._delay_ns = 0
        """From the last delivery, at first from power-on, to the next group."""
        self._quit = False

    def open(self, submit: Submit) -> None:
        """Read the script and say its first group; BackendError names file and line."""
        super().open(submit)
        self._steps = deque(self._read())
        # A script that is opened while the machine runs must not wait for a guest that leaves its device alone.
        self._go_on()

    @property
    def relives(self) -> bool:
        """It follows from what is delivered what it says."""
        return True

    def memory(self) -> bytes:
        """How far it has come."""
        return vmstate.encode(InputPlace(len(self._steps), self._on_its_way, self._delay_ns, self._quit))

    def recall(self, memory: bytes, submit: Submit) -> None:
        """Where it was then."""
        if not memory:
            self.open(submit)
            return
        super().open(submit)
        place = vmstate.decode(InputPlace, memory)
        self._steps = deque(self._read()[-place.left :] if place.left else ())
        self._on_its_way, self._delay_ns, self._quit = place.on_its_way, place.delay_ns, place.quits

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """It is where it was."""
        self._submit = submit
        return True

    def _read(self) -> list[Step]:
        try:
            text = Path(self._path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._name}: cannot read script {self._path}: {reason_of(error)}") from error
        return list(parse_input_script(text, self._path))

    def advance(self, room: int) -> None:
        """Go on when the last group has been delivered and there is room for the next."""
        if self._steps and isinstance(self._steps[0], Group) and len(self._steps[0].data) > room:
            return
        self._go_on()

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """The group has been delivered; others' events may come between."""
        if inbound and data == self._on_its_way:
            self._on_its_way = b""

    def wants_quit(self) -> bool:
        """The script has come to a `quit`."""
        return self._quit

    def _go_on(self) -> None:
        while self._steps and not self._on_its_way:
            match self._steps.popleft():
                case Delay(ns):
                    self._delay_ns += ns
                case Group(data):
                    self._on_its_way = data
                    self._submit(HostEvent.DATA, data, self._delay_ns)
                    self._delay_ns = 0
                case QuitRun():
                    self._quit = True
