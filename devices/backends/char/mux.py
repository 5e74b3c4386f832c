"""One terminal, two listeners: the guest's serial line and the machine's monitor, Ctrl-A c between them, as in QEMU.

What is typed to the monitor, and what it says, is never submitted: it is no part of the run or its recording.
The guest's output is shown all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend, refuse_argument
from devices.backends.char.escape import HELP, EscapeCommand, EscapeKeys
from devices.backends.char.stdio import StdioBackend
from devices.backends.char.table import create, divide
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devices.backends.char.monitorline import MonitorLine
    from devices.model import Backend, Estate, Run, Submit

TYPED_AHEAD: Final = 4096
"""Keys taken before the guest has room, so that the escape key works when it has none."""
TEXT_BYTES: Final = 1 << 14
"""Text of the monitor kept for a terminal that does not take it; then the monitor has to wait."""
STDIO_WORDS: Final[Mapping[str, bool]] = {
    "stdio": False,
    "stdio,mux=off": False,
    "stdio,mux=on": True,
    "mon:stdio": True,
}
"""The words that mean standard input and output, and whether the monitor shares them."""
DEAF: Final = ("null", "file", "ringbuf", "script", "mon")
"""Backends on which nobody types."""
NO_MONITOR: Final = "this line has no monitor; it has with --serial mon:stdio"


class MuxBackend(CharBackend):
    """A backend that somebody types on, with the escape key in front of it and perhaps the monitor beside it.

    `words` are those that mean this very line, with or without the monitor, so that one can become the other.
    """

    def __init__(self, inner: Backend, name: str, *, monitor: bool, words: Mapping[str, bool] = STDIO_WORDS) -> None:
        super().__init__(name)
        self._inner = inner
        self._words = words
        self._shared = monitor
        self._keys = EscapeKeys()
        self._monitor: MonitorLine | None = None
        """The session with the monitor, once it has been asked for."""
        self._to_monitor = False
        self._typed = bytearray()
        """Keys for which the guest has had no room."""
        self._text = bytearray()
        """What is ours to show and has not been taken."""
        self._guest_waits = False
        self._room = 0
        self._quit = False

    @property
    def unrecordable(self) -> str:
        """As the line."""
        return self._inner.unrecordable

    def attach(self, run: Run) -> None:
        """The line's."""
        self._inner.attach(run)

    def open(self, submit: Submit) -> None:
        """Open what is typed on; the monitor is called when it is asked for."""
        super().open(submit)
        self._inner.open(self._heard)

    def keep(self, estate: Estate) -> None:
        """For what is typed on."""
        self._inner.keep(estate)

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """What is typed on goes on; the monitor is called when it is asked for again."""
        super().open(submit)
        self._guest_waits = owes
        return self._inner.resume(self._heard, owes=owes)

    def close(self) -> None:
        """Hang up on the monitor and close what is typed on."""
        self._hang_up()
        self._inner.close()

    def take_word(self, word: str) -> bool:
        """The same line with or without the monitor."""
        if word not in self._words:
            return False
        self._shared = self._words[word]
        if not self._shared:
            self._hang_up()
        return True

    def waiting(self) -> str:
        """Somebody to type, while nobody is there."""
        return self._inner.waiting()

    def wants_quit(self) -> bool:
        """Ctrl-A x was typed."""
        return self._quit or self._inner.wants_quit()

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """For a line that captures."""
        self._inner.passed(data, icount, inbound=inbound)

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Those of the line as far as keys are taken ahead, and the monitor's."""
        of_line = self._inner.descriptors(self._space())
        if self._monitor is None:
            return of_line
        return [*of_line, *self._monitor.descriptors(TEXT_BYTES - len(self._text))]

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Serve the line or the monitor, then hand on what was typed."""
        self._room = room
        if self._monitor is not None and self._monitor.owns(descriptor):
            self._monitor.ready(readable, writable)
        else:
            self._inner.ready(descriptor, readable, writable, self._space())
        self._hand_on()

    def advance(self, room: int) -> None:
        """Hand on what was typed ahead."""
        self._room = room
        self._inner.advance(self._space())
        self._hand_on()

    def write(self, data: bytes) -> BackendResult:
        """The guest's output comes first; what is ours goes into the gaps."""
        result = self._inner.write(data)
        self._guest_waits = result.accepted < len(data) and not result.error
        if not self._guest_waits:
            self._flush_text()
        return result

    def _heard(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        """What the line says."""
        match event:
            case HostEvent.DATA if self._escapes():
                for found in self._keys.feed(data):
                    if isinstance(found, bytes):
                        self._key(found)
                    else:
                        self._obey(found)
            case HostEvent.DATA:
                self._key(data)
            case HostEvent.WRITABLE:
                self._flush_text()
                if self._guest_waits:
                    self._guest_waits = False
                    self._submit(event, data, delay_ns)
            case _:
                if event is HostEvent.CLOSED:
                    self._forget_user()
                self._hand_on()
                self._submit(event, data, delay_ns)

    def _escapes(self) -> bool:
        """Whether Ctrl-A is ours: where the monitor is, and on a terminal."""
        return self._shared or self._is_terminal()

    def _is_terminal(self) -> bool:
        return isinstance(self._inner, StdioBackend) and self._inner.is_terminal

    def _key(self, keys: bytes) -> None:
        if self._to_monitor and self._monitor is not None:
            self._monitor.type(keys)
        else:
            self._typed += keys

    def _obey(self, command: EscapeCommand) -> None:
        match command:
            case EscapeCommand.HELP:
                self._show(HELP.encode())
            case EscapeCommand.QUIT:
                self._quit = True
            case EscapeCommand.BREAK:
                self._hand_on()
                self._submit(HostEvent.BREAK, b"", 0)
            case EscapeCommand.SWITCH:
                self._switch()

    def _switch(self) -> None:
        """From the guest to the monitor or back."""
        if self._to_monitor:
            self._to_monitor = False
            self._show(b"\n")
            return
        if not self._shared:
            self._show(f"\n[{NO_MONITOR}]\n".encode())
            return
        if self._monitor is None:
            from devices.backends.char.monitorline import MonitorLine  # noqa: PLC0415  # seldom asked for

            self._monitor = MonitorLine(self._show, self._gone)
        reason = self._monitor.call()
        if not reason:
            self._to_monitor = True
            self._show(b"\n")
        else:
            self._show(f"\n[no monitor: {reason}]\n".encode())

    def _hang_up(self) -> None:
        self._to_monitor = False
        if self._monitor is not None:
            self._monitor.close()

    def _forget_user(self) -> None:
        """Whoever typed has gone: the next one begins on the console, with a session of his own."""
        self._hang_up()
        self._guest_waits = False
        self._keys = EscapeKeys()
        self._text.clear()

    def _gone(self, why: str) -> None:
        self._to_monitor = False
        self._show(f"\n[no monitor: {why}]\n".encode())

    def _show(self, text: bytes) -> None:
        """Show what is ours; all but our own terminal want a carriage return in each new line.

        Who asks for more than he reads misses some of it.
        """
        if len(self._text) < TEXT_BYTES:
            lines = text.replace(b"\r\n", b"\n")
            self._text += lines if self._is_terminal() else lines.replace(b"\n", b"\r\n")
        if not self._guest_waits:
            self._flush_text()

    def _flush_text(self) -> None:
        if not self._text:
            return
        result = self._inner.write(bytes(self._text))
        del self._text[: result.accepted]
        if result.error:
            self._text.clear()

    def _hand_on(self) -> None:
        """Give the guest the keys it has room for."""
        data = bytes(self._typed[: max(0, self._room)])
        if data:
            del self._typed[: len(data)]
            self._room -= len(data)
            self._submit(HostEvent.DATA, data, 0)

    def _space(self) -> int:
        return TYPED_AHEAD - len(self._typed)


def create_muxed(argument: str, name: str) -> Backend:
    """`mon:BACKEND`: a backend that is shared with the monitor."""
    first, rest = divide(argument)
    if first in DEAF:
        raise BackendError(
            f"{name}: backend mon:{argument}: nobody types on {first}; take stdio, pty, tcp, unix, telnet"
        )
    if first == "stdio":
        refuse_argument("mon:stdio", rest, name)
        return MuxBackend(StdioBackend(name), name, monitor=True)
    words = {argument: False, f"mon:{argument}": True}
    return MuxBackend(create(argument, name), name, monitor=True, words=words)
