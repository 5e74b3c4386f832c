"""The escape key of a raw terminal: what is typed after Ctrl-A is for us, all else is the guest's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

ESCAPE: Final = 0x01
HELP: Final = (
    "\r\nC-a h    this help\r\nC-a x    leave: end the run\r\n"
    "C-a b    send a break\r\nC-a C-a  send C-a\r\n"
)  # fmt: skip


class EscapeKeys:
    """Separates the user's commands from the guest's keys, one byte after the other."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._escaped = False
        self._breaks = 0
        self.quit = False
        """Ctrl-A x has been typed."""

    def feed(self, data: bytes) -> bytes:
        """The guest's keys among those typed."""
        out = bytearray()
        for key in data:
            if self._escaped:
                self._escaped = False
                self._command(key, out)
            elif key == ESCAPE:
                self._escaped = True
            else:
                out.append(key)
        return bytes(out)

    def take_breaks(self) -> int:
        """How often Ctrl-A b was typed since last asked."""
        count, self._breaks = self._breaks, 0
        return count

    def _command(self, key: int, out: bytearray) -> None:
        match key:
            case 0x01 | 0x61:  # Ctrl-A, or a plain a
                out.append(ESCAPE)
            case 0x78:  # x
                self.quit = True
            case 0x62:  # b
                self._breaks += 1
            case 0x68 | 0x3F:  # h, ?
                self._show(HELP)
            case _:
                pass
