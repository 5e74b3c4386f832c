"""Cutting a stream of bytes into JSON documents: QMP needs no newline between them, nor forbids one inside.

Lives here: where a document ends.  Never here: what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 1 << 16
"""Bytes in one document; no command needs that many."""
DEEPEST: Final = 100
"""Objects and arrays within one another."""
RESET: Final = 0xFF
"""Never part of JSON: what was not complete before it is forgotten (QEMU, docs/interop/qmp-spec)."""

_OUTSIDE: Final = re.compile(rb'["{}\[\]\xff]')
_INSIDE: Final = re.compile(rb'["\\\xff]')
_BLANKS: Final = b" \t\r\n"
_QUOTE, _BACKSLASH = b'"\\'
_OPENING: Final = b"{["


class Overlong(Exception):
    """A document is longer or deeper than any that means well."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A reset: `lost` if something incomplete was forgotten by it."""

    lost: bool


class Documents:
    """What has come and not been taken; how far the first document has been looked through."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._bytes += data

    def next(self) -> bytes | Forgotten | None:
        """The next document, or a line that is none; None while it is incomplete.  Overlong if it will not end."""
        if not self._seen:
            self._skip_blanks()
        if not self._bytes:
            return None
        end = self._end() if self._bytes[0] in _OPENING or self._bytes[0] == RESET else self._end_of_line()
        if end is None:
            if len(self._bytes) > LONGEST:
                raise Overlong(f"a document of more than {LONGEST} bytes")
            return None
        document = bytes(self._bytes[:end])
        del self._bytes[:end]
        self._seen, self._depth, self._in_string = 0, 0, False
        return Forgotten(lost=len(document) > 1) if document[-1] == RESET else document

    def finish(self) -> bytes | None:
        """The stream has ended: what is left, if that is something."""
        left = bytes(self._bytes).strip(_BLANKS)
        self._bytes.clear()
        return left or None

    def _skip_blanks(self) -> None:
        blanks = len(self._bytes) - len(self._bytes.lstrip(_BLANKS))
        if blanks:
            del self._bytes[:blanks]

    def _end(self) -> int | None:
        """Where the object or array that begins here ends."""
        while True:
            found = (_INSIDE if self._in_string else _OUTSIDE).search(self._bytes, self._seen)
            if found is None:
                self._seen = len(self._bytes)
                return None
            at, mark = found.start(), self._bytes[found.start()]
            if mark == _BACKSLASH:
                if at + 1 == len(self._bytes):
                    self._seen = at
                    return None
                self._seen = at + 2
                continue
            self._seen = at + 1
            if mark == RESET or (mark != _QUOTE and self._deepen(mark)):
                return at + 1
            if mark == _QUOTE:
                self._in_string = not self._in_string

    def _deepen(self, mark: int) -> bool:
        """A bracket; whether it closes the document."""
        self._depth += 1 if mark in _OPENING else -1
        if self._depth > DEEPEST:
            raise Overlong(f"a document of more than {DEEPEST} levels")
        return self._depth == 0

    def _end_of_line(self) -> int | None:
        """What is no object is taken up to the end of its line, or to a reset."""
        ends = [at + 1 for at in (self._bytes.find(b"\n"), self._bytes.find(RESET)) if at >= 0]
        return min(ends) if ends else None
