"""The line mode with one client: a prompt, a line, its text.

Lives here: lines out of bytes.  Never here: what a line does (lines.py), editing (the terminal's own).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from replay_broker.monitor.control import version
from replay_broker.monitor.documents import Overlong
from replay_broker.monitor.line import NEWLINE
from replay_broker.monitor.lines import run_line, version_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replay_broker.monitor.answer import Answer
    from replay_broker.monitor.machine import Machine

PROMPT: Final = "(dejavm) "
LONGEST: Final = 4096
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_NOISE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class LineSpeaker:
    """One client's side of the line mode; `say` takes the bytes that go to it."""

    def __init__(self, machine: Machine, say: Callable[[bytes], None]) -> None:
        self._machine = machine
        self._send = say
        self._bytes = bytearray()
        self._after_return = False
        self.waiting = False
        """A line's text is still to come; the next is not looked at before."""
        hello = version_text(version()).removesuffix(NEWLINE)
        self._say(f"{hello} monitor - type 'help' for more information{NEWLINE}{PROMPT}")

    def feed(self, data: bytes) -> None:
        """Something has come.  A newline behind a carriage return belongs to it, even when they come apart."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        if data:
            self._after_return = data.endswith(b"\r")
        self._bytes += data

    def step(self) -> bool:
        """Do the next line, if a whole one is there; whether it was.  Overlong if it will not end."""
        if self.waiting:
            return False
        end = _LINE_END.search(self._bytes)
        if (end.start() if end else len(self._bytes)) > LONGEST:
            raise Overlong(f"a line of more than {LONGEST} bytes")
        if end is None:
            return False
        line = bytes(self._bytes[: end.start()])
        del self._bytes[: end.end()]
        self.waiting = True
        run_line(self._machine, _NOISE.sub("", line.decode(errors="replace"))).then(self._answered)
        return True

    def finish(self) -> None:
        """Nothing more comes; a line that was not ended is not done."""
        self._bytes.clear()

    def complain(self, text: str) -> None:
        """Say why the client is shown the door."""
        self._say(f"{NEWLINE}{text}{NEWLINE}")

    def event(self, name: str, data: Mapping[str, object], time_ns: int) -> None:
        """The line mode tells of no events."""

    def _answered(self, answer: Answer) -> None:
        self.waiting = False
        self._say(cast("str", answer.value()) + PROMPT)

    def _say(self, text: str) -> None:
        self._send(text.encode(errors="replace"))
