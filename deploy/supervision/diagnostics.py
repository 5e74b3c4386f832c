"""The diagnostics of all processes as one stream: by time, node and icount in front.

Lives here: reading the files that supervisor keeps, putting them in order.
Never here: printing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([\w-]+) (\d+): (.*)", re.DOTALL)
SUPERVISOR_LOG: Final = "supervisord.log"


class Line(NamedTuple):
    """One line of a process; `time` is the host's in UTC, as text that sorts."""

    time: str
    node: str
    icount: str
    text: str

    def __str__(self) -> str:
        """As `dejavm logs` prints it."""
        return f"{self.time} {self.node:<10} {self.icount:>14}  {self.text}"


class LogFile:
    """One process's file, read from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._node = path.name.partition(".")[0]
        self._at = 0
        self._partial = b""
        self._last = Line("", self._node, "", "")

    def take(self) -> Iterator[Line]:
        """The lines since the last look.  What has no stamp of its own has that of the line before it."""
        try:
            size = self._path.stat().st_size
            if size < self._at:
                self._at = 0  # supervisor has begun a new file
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            return
        self._at += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        for raw in whole:
            yield self._parse(raw.decode(errors="replace").rstrip("\r"))

    def _parse(self, text: str) -> Line:
        match = STAMP.fullmatch(text)
        if match is not None:
            self._last = Line(match[1], match[2], match[3], match[4])
            return self._last
        return self._last._replace(text=text)


def log_files(directory: Path, node: str | None) -> list[LogFile]:
    """The files of all nodes, or of one; supervisor's own is not a node's."""
    paths = sorted(path for path in directory.glob("*.log") if path.name != SUPERVISOR_LOG)
    return [LogFile(path) for path in paths if node is None or path.stem == node]


def in_order(files: Iterable[LogFile]) -> list[Line]:
    """What has come in all files since the last look, by time; one process's lines stay in their order."""
    found = [(line.time, line) for file in files for line in file.take()]
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]
