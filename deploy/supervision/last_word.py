"""A machine's last word, end.json: there is room for it, whatever has filled the machine's directory.

Lives here: keeping room, writing.  Never here: what it says.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.supervision.place import ServicePlaces

log = logging.getLogger("dejavm")

SPARE_BYTES: Final = 1 << 14
MODE: Final = 0o600


def keep_room(path: Path, size: int) -> None:
    """A file that holds nothing and takes so many bytes; OSError if the host has no room for them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


class LastWord:
    """Of one machine.  A file that holds nothing takes the room, and gives way when there is no other."""

    def __init__(self, places: ServicePlaces) -> None:
        self._end = places.end
        self._spare = self._end.with_suffix(".spare")
        self._unwritten = ""
        try:
            keep_room(self._spare, SPARE_BYTES)
        except OSError as error:
            log.warning("%s: no room is kept for the machine's last word: %s", self._spare, error.strerror)

    def write(self, text: str) -> None:
        """In place of what was written before, at once or as soon as write_again() finds room."""
        self._unwritten = text
        if not self._try():
            self._spare.unlink(missing_ok=True)
            self.write_again()

    def write_again(self) -> None:
        """What could not be written."""
        if self._unwritten:
            self._try()

    def _try(self) -> bool:
        part = self._end.with_suffix(".part")
        try:
            part.write_text(self._unwritten)
            part.replace(self._end)
        except OSError:
            return False
        self._unwritten = ""
        return True
