"""The escape key of a terminal: what is typed after Ctrl-A is for us, all else for whom the keys go to."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPE: Final = 0x01
HELP: Final = (
    "\nC-a h    this help\nC-a x    leave: end the run\nC-a b    send a break\n"
    "C-a c    between the console and the monitor\nC-a C-a  send C-a\n"
)  # fmt: skip


class EscapeCommand(Enum):
    """What may be typed after Ctrl-A, with QEMU's letters."""

    HELP = auto()
    QUIT = auto()
    BREAK = auto()
    SWITCH = auto()


COMMANDS: Final = {
    ord("h"): EscapeCommand.HELP,
    ord("?"): EscapeCommand.HELP,
    ord("x"): EscapeCommand.QUIT,
    ord("b"): EscapeCommand.BREAK,
    ord("c"): EscapeCommand.SWITCH,
}


class EscapeKeys:
    """Separates the user's commands from other keys, one byte after the other."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes | EscapeCommand]:
        """The keys and the commands among what was typed, in order."""
        keys = bytearray()
        for key in data:
            if not self._escaped:
                self._escaped = key == ESCAPE
                if not self._escaped:
                    keys.append(key)
                continue
            self._escaped = False
            if key in (ESCAPE, ord("a")):
                keys.append(ESCAPE)
            elif key in COMMANDS:
                if keys:
                    yield bytes(keys)
                    keys.clear()
                yield COMMANDS[key]
        if keys:
            yield bytes(keys)
