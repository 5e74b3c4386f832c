"""Where recordings lie: names for new ones, the newest of those that are there."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.errors import LogError, UsageError
from machine.recording.layout import SUFFIX

if TYPE_CHECKING:
    from datetime import datetime

    from machine.recording.reader import Recording

RECORDINGS: Final = Path("recordings")
_LONGEST: Final = 64
"""Characters of a board's name in that of a recording."""


def new_path(given: str | None, board: str, now: datetime) -> Path:
    """Where a new recording goes: what the user gave, else `recordings/BOARD-DATE-TIME-N.dejavm`.

    UsageError if it is there already or its directory cannot be written.
    """
    if given is not None:
        path = Path(given).absolute()
        if os.path.lexists(path):
            raise UsageError(f"{given}: exists already; give the recording another name with -o")
    else:
        # A recording brings its board's name from wherever it was made.
        stem = f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', board)[:_LONGEST]}-{now:%Y%m%d-%H%M%S}"
        names = (RECORDINGS / f"{stem}-{number}{SUFFIX}" for number in itertools.count(1))
        path = next(name for name in names if not os.path.lexists(name)).absolute()
    home = next(parent for parent in path.parents if parent.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"{home}: cannot write here; give the recording another place with -o")
    return path


def open_recording(given: str | None) -> Recording:
    """The recording the user named, else the newest; LogError if unreadable, UsageError if there is none."""
    # Imported here: who makes a recording does not need to read one.
    from machine.recording.reader import Recording  # noqa: PLC0415

    return Recording.open(Path(given)) if given is not None else newest(RECORDINGS)


def newest(directory: Path) -> Recording:
    """The recording with the latest date in a directory, whatever its files' dates; UsageError if there is none."""
    from machine.recording.reader import Recording  # noqa: PLC0415

    found: list[Recording] = []
    for path in sorted(directory.glob("*")) if directory.is_dir() else []:
        try:
            found.append(Recording.open(path))
        except LogError:
            # Something else lies here; a recording that is asked for by name says what is wrong with it.
            continue
    if not found:
        raise UsageError(f"there is no recording in ./{directory}; make one with: dejavm record")
    return max(found, key=lambda recording: recording.facts.created)
