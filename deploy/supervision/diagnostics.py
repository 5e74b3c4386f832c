"""The diagnostics of all processes as one stream: by time, node and icount in front.

Lives here: reading the files that supervisor keeps, putting them in order.
Never here: printing.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from deploy.supervision.configuration import SUPERVISOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([\w-]+) (\d+): (.*)", re.DOTALL)
SUPERVISOR_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (.*)", re.DOTALL)
"""supervisord's own lines have the host's local time, and know of no guest."""
UNKNOWN: Final = "-"
"""The icount of a line of which nobody can say it."""


class Line(NamedTuple):
    """One line of a process; `time` is the host's in UTC, as text that sorts."""

    time: str
    node: str
    icount: str
    text: str

    @property
    def brief(self) -> str:
        """As a command prints it whose processes say it now."""
        return f"{self.node}: {self.text}"

    def __str__(self) -> str:
        """As `dejavm logs` prints it."""
        return f"{self.time} {self.node:<10} {self.icount:>14}  {self.text}"


class LogFile:
    """One process's file and the one before it, which supervisor has put aside, read from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._node = path.name.partition(".")[0]
        self._open: list[BinaryIO] = []
        """The older one first.  As long as we have a file open, no other gets its inode."""
        self._partial = b""
        self._last: Line | None = None

    def take(self, *, to_the_end: bool = False) -> Iterator[Line]:
        """The lines since the last look.  What has no stamp of its own has that of the line before it.

        `to_the_end`: a line that is not whole, since its writer was killed, is one, too; nothing more is looked for.
        """
        # The newest first: what is put aside meanwhile is found twice, never missed.
        known = {os.fstat(file.fileno()).st_ino: file for file in self._open}
        there: dict[int, BinaryIO] = {}
        for path in (self._path, self._path.with_name(f"{self._path.name}.1")):
            with suppress(OSError):
                found = path.open("rb")
                there[os.fstat(found.fileno()).st_ino] = found
        gone = [file for inode, file in known.items() if inode not in there]
        new = [known.get(inode, file) for inode, file in reversed(there.items())]
        for file in (*gone, *new):
            yield from self._read(file)
        for file in (*gone, *(file for file in there.values() if file not in new)):
            file.close()
        self._open = new
        if to_the_end:
            if self._partial:
                yield self._parse(self._partial, datetime.now(UTC))
            for file in self._open:
                file.close()

    def _read(self, file: BinaryIO) -> Iterator[Line]:
        *whole, self._partial = (self._partial + file.read()).split(b"\n")
        written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        lines = [self._parse(raw, written) for raw in whole]
        for i in range(len(lines) - 1, 0, -1):
            # What has been said before anything with a stamp was said before that.
            if lines[i - 1].icount == UNKNOWN and lines[i - 1].time > lines[i].time:
                lines[i - 1] = lines[i - 1]._replace(time=lines[i].time)
        yield from lines

    def _parse(self, raw: bytes, written: datetime) -> Line:
        """`written`: when the file was, for what is said before anything with a stamp."""
        text = raw.decode(errors="replace").rstrip("\r")
        # What has no stamp is often said with the node's name, as it is for a command that waits for the run's end.
        bare = text.removeprefix(f"{self._node}: ")
        if (match := STAMP.fullmatch(text)) is not None:
            self._last = Line(match[1], match[2], match[3], match[4])
        elif self._node == SUPERVISOR and (match := SUPERVISOR_STAMP.fullmatch(text)) is not None:
            at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)
            self._last = Line(_stamp(at), self._node, UNKNOWN, match[2])
        elif self._last is not None:
            return self._last._replace(text=bare)
        else:
            return Line(_stamp(written), self._node, UNKNOWN, bare)
        return self._last


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


class Stream:
    """What all nodes write, or one; supervisor's own is not a node's, and only told who names it."""

    def __init__(self, directory: Path, node: str | None = None) -> None:
        self._directory = directory
        self._node = node
        self._files: dict[str, LogFile] = {}

    def take(self, *, to_the_end: bool = False) -> list[Line]:
        """What has come since the last look, by time; one process's lines stay in their order.

        `to_the_end`: see LogFile.take().
        """
        for path in sorted(self._directory.glob("*.log")):
            wanted = path.stem == self._node or (self._node is None and path.stem != SUPERVISOR)
            if wanted and path.stem not in self._files:
                self._files[path.stem] = LogFile(path)
        found = [(line.time, line) for file in self._files.values() for line in file.take(to_the_end=to_the_end)]
        return [line for _, line in sorted(found, key=lambda pair: pair[0])]
