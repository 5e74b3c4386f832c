"""Where a recording's guest files are now: in the recording itself, where they were, or among the built guests.

A file is what its SHA-256 says, wherever it lies and whatever it is called.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from machine.errors import ChangedGuest
from machine.recording.facts import sha256_of
from machine.recording.layout import FILES_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.board import Board
    from machine.recording.facts import GuestFile
    from machine.recording.reader import Recording


def board_here(recording: Recording, elsewhere: Callable[[], Sequence[Path]] = tuple) -> Board:
    """The recorded board with the paths its guest files have here; ChangedGuest names one that is nowhere.

    `elsewhere` tells files that may be the one in question; it is asked last.
    """
    places = {file.role: str(locate(file, recording.path, elsewhere)) for file in recording.facts.files}
    return replace(recording.board, kernel=places.get("kernel", ""), initrd=places.get("initrd", ""))


def locate(file: GuestFile, recording: Path, elsewhere: Callable[[], Sequence[Path]] = tuple) -> Path:
    """The path of a guest file, its digest checked; ChangedGuest says what is where it was."""
    for path in (recording / FILES_NAME / file.sha256, Path(file.path)):
        if _is(path, file):
            return path
    for path in elsewhere():
        if _is(path, file):
            return path
    raise ChangedGuest(f"{file.path}: the {file.role} {_what_is_there(file)}")


def _is(path: Path, file: GuestFile) -> bool:
    try:
        return path.stat().st_size == file.size and sha256_of(path) == file.sha256
    except (OSError, ValueError):
        return False


def _what_is_there(file: GuestFile) -> str:
    try:
        found = sha256_of(Path(file.path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return f"that was recorded cannot be read: {why}; put back the file with sha256 {file.sha256}"
    return f"has changed since it was recorded: recorded sha256 {file.sha256}, found {found}"
