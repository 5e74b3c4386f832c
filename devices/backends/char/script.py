"""A user made of text: waits for output, types, waits in virtual time (docs/devices.md, Scripts).

It reacts while the device handles the message that brought the output, never to anything of the host's,
so a closed guest with a script runs the same in every recording.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend, require_path
from devices.backends.char.scriptfile import Expect, Send, Step, parse_script
from devices.backends.steps import Delay, QuitRun
from machine import vmstate
from machine.errors import BackendError, reason_of
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from devices.model import Backend, Submit

REMEMBERED_BYTES: Final = 1 << 20
"""Output kept for the next expect while a send waits for room; the oldest is forgotten first."""


@vmstate.vmstate("script-place", 1)
@dataclass(slots=True)
class Place:
    """How far a script has come."""

    left: int
    """Steps."""
    seen: bytes
    unsent: bytes
    delay_ns: int
    quits: bool


class ScriptBackend(CharBackend):
    """The steps that are left, and the output since the last match."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._steps: deque[Step] = deque()
        self._seen = b""
        self._unsent = b""
        self._delay_ns = 0
        """From the output that satisfied the last expect to the next send."""
        self._quit = False

    def open(self, submit: Submit) -> None:
        """Read the script; BackendError names file and line."""
        super().open(submit)
        try:
            text = Path(self._path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._name}: cannot read script {self._path}: {reason_of(error)}") from error
        self._steps = deque(parse_script(text, self._path))

    @property
    def relives(self) -> bool:
        """It follows from the output alone what it says."""
        return True

    def memory(self) -> bytes:
        """How far it has come."""
        place = Place(len(self._steps), self._seen, self._unsent, self._delay_ns, self._quit)
        return vmstate.encode(place)

    def recall(self, memory: bytes, submit: Submit) -> None:
        """Where it was then."""
        self.open(submit)
        if memory:
            place = vmstate.decode(Place, memory)
            while len(self._steps) > place.left:
                self._steps.popleft()
            self._seen, self._unsent, self._delay_ns, self._quit = (
                place.seen, place.unsent, place.delay_ns, place.quits,
            )  # fmt: skip

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """It is where it was."""
        self._submit = submit
        return True

    def write(self, data: bytes) -> BackendResult:
        """Output is looked at in advance(), when the device is done with it."""
        self._seen = (self._seen + data)[-REMEMBERED_BYTES:]
        return BackendResult(len(data))

    def advance(self, room: int) -> None:
        """Go as far through the script as output and room allow."""
        while True:
            if self._unsent:
                room -= self._send(room)
                if self._unsent:
                    return
            if not self._steps or not self._step(self._steps[0]):
                return
            self._steps.popleft()

    def wants_quit(self) -> bool:
        """The script has come to a `quit`."""
        return self._quit

    def _step(self, step: Step) -> bool:
        """Do one step; False when it has to wait."""
        match step:
            case Expect(text):
                return self._match(text)
            case Send(data):
                self._unsent = data
            case Delay(ns):
                self._delay_ns += ns
            case QuitRun():
                self._quit = True
        return True

    def _match(self, text: bytes) -> bool:
        at = self._seen.find(text)
        if at < 0:
            # Only an unfinished match can still matter.
            self._seen = self._seen[-(len(text) - 1) :] if len(text) > 1 else b""
            return False
        self._seen = self._seen[at + len(text) :]
        self._delay_ns = 0
        return True

    def _send(self, room: int) -> int:
        """Submit what there is room for; how much that was."""
        data, self._unsent = self._unsent[: max(0, room)], self._unsent[max(0, room) :]
        if data:
            self._submit(HostEvent.DATA, data, self._delay_ns)
            if self._unsent:
                # By the time there is room again the delay is over.
                self._delay_ns = 0
        return len(data)


def create_script(argument: str, name: str) -> Backend:
    """`script:PATH`."""
    return ScriptBackend(require_path("script", argument, name), name)
