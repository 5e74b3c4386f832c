"""Editing a line on a raw terminal whose other end speaks lines: echo, the usual keys, the lines before this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_BYTES: Final = 4096
REMEMBERED: Final = 100
BELL: Final = b"\a"
RUB: Final = b"\b \b"
ENTER: Final = (0x0A, 0x0D)
BACKSPACE: Final = (0x08, 0x7F)
CANCEL: Final = 0x03
ERASE_LINE: Final = 0x15
ERASE_WORD: Final = 0x17
EARLIER: Final = (b"\x10", b"[A", b"OA")
LATER: Final = (b"\x0e", b"[B", b"OB")
"""Ctrl-P and Ctrl-N, or the arrow keys without their escape character."""
ESC: Final = 0x1B
FIRST_PRINTABLE: Final = 0x20
FIRST_FINAL: Final = 0x40
"""ECMA-48, 5.4: a control sequence ends with the first byte from here on."""
SEQUENCE_BYTES: Final = 16
CONTINUATION: Final = range(0x80, 0xC0)
"""Bytes of a character in UTF-8 behind its first (RFC 3629, 3)."""


class LineEditor:
    """Keys in, whole lines out; `echo` shows what must be seen of it."""

    def __init__(self, echo: Callable[[bytes], None], entered: Callable[[bytes], None]) -> None:
        self._echo = echo
        self._entered = entered
        self._line = bytearray()
        self._sequence: bytearray | None = None
        """What has come behind an escape character."""
        self._after_return = False
        self._lines: list[bytes] = []
        self._shown = 0
        """Which of the lines before is shown; as many as there are: none."""

    def feed(self, keys: bytes) -> None:
        """What was typed."""
        for key in keys:
            # CR LF is one key.
            second = self._after_return and key == ENTER[0]
            self._after_return = key == ENTER[1]
            if not second:
                self._key(key)

    def clear(self) -> None:
        """Forget the line that has been begun, and show nothing of that."""
        self._line.clear()
        self._sequence = None
        self._shown = len(self._lines)

    def _key(self, key: int) -> None:
        if self._sequence is not None:
            self._follow(self._sequence, key)
        elif key in ENTER:
            self._enter()
        elif key in BACKSPACE:
            self._rub_out(1)
        elif key == CANCEL:
            self._echo(b"^C\n")
            self.clear()
            self._entered(b"")
        elif key == ERASE_LINE:
            self._rub_out(len(self._line))
        elif key == ERASE_WORD:
            rest = self._line.rstrip(b" ")
            self._rub_out(len(self._line) - (rest.rfind(b" ") + 1))
        elif bytes((key,)) in (EARLIER[0], LATER[0]):
            self._recall(bytes((key,)))
        elif key == ESC:
            self._sequence = bytearray()
        elif key >= FIRST_PRINTABLE:
            self._insert(key)

    def _insert(self, key: int) -> None:
        if len(self._line) == LINE_BYTES:
            self._echo(BELL)
            return
        self._line.append(key)
        self._echo(bytes((key,)))

    def _follow(self, sequence: bytearray, key: int) -> None:
        """ECMA-48, 5.4, and the keys of a terminal in application mode: everything but arrows is passed over."""
        sequence.append(key)
        introduced = len(sequence) == 1 and key in b"[O"
        if introduced or (key < FIRST_FINAL and len(sequence) < SEQUENCE_BYTES):
            return
        self._sequence = None
        self._recall(bytes(sequence))

    def _recall(self, sequence: bytes) -> None:
        if sequence in EARLIER and self._shown > 0:
            self._shown -= 1
        elif sequence in LATER and self._shown < len(self._lines):
            self._shown += 1
        elif sequence in EARLIER or sequence in LATER:
            self._echo(BELL)
            return
        else:
            return
        self._rub_out(len(self._line))
        self._line += self._lines[self._shown] if self._shown < len(self._lines) else b""
        self._echo(bytes(self._line))

    def _rub_out(self, count: int) -> None:
        """Take back bytes from the end, whole characters of UTF-8 at least."""
        gone = bytearray()
        while self._line and (count > len(gone) or (gone and gone[0] in CONTINUATION)):
            gone.insert(0, self._line.pop())
        shown = sum(byte not in CONTINUATION for byte in gone)
        if shown:
            self._echo(RUB * shown)

    def _enter(self) -> None:
        line = bytes(self._line)
        self._echo(b"\n")
        if line.strip() and self._lines[-1:] != [line]:
            self._lines = [*self._lines, line][-REMEMBERED:]
        self.clear()
        self._entered(line)
