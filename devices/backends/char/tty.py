"""A serial line of the host: a terminal's device file, made raw, with the speed and the frame that are asked for.

A break on the line is a break for the guest.  Its modem lines are left alone: what they do at which moment is
nothing that a recording holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import termios
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from devices.backends.char.base import CharBackend
from devices.backends.char.sink import write_nonblocking
from devices.backends.words import number, split_commas, switch
from machine.errors import BackendError, reason_of
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devices.model import Backend, Submit

log = logging.getLogger("dejavm")

DEFAULT_SPEED: Final = 115200
DRAIN_S: Final = 2.0
"""How long the line is given, when we leave, to send what it has taken."""
SIZES: Final[Mapping[int, int]] = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
PARITIES: Final[Mapping[str, int]] = {
    "none": 0,
    "even": termios.PARENB,
    "odd": termios.PARENB | termios.PARODD,
}
STOPS: Final[Mapping[int, int]] = {1: 0, 2: termios.CSTOPB}
OPTIONS: Final = ("speed", "bits", "parity", "stop", "rtscts")
REFUSED: Final[Mapping[str, str]] = {
    "modem": "the modem lines of a real terminal cannot be recorded; leave it out",
}
MARK: Final = 0xFF


@dataclass(frozen=True, slots=True)
class TtySettings:
    """Bits a second, and the frame: data bits, parity, stop bits; rtscts lets the other side hold ours by hardware."""

    speed: int = DEFAULT_SPEED
    bits: int = 8
    parity: str = "none"
    stop: int = 1
    rtscts: bool = False

    def attributes(self, before: list[Any]) -> list[Any]:
        """A terminal's attributes with these settings, raw (termios(3), cfmakeraw), breaks marked among the input."""
        cc = list(before[6])
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        flags = termios.CREAD | termios.CLOCAL | SIZES[self.bits] | PARITIES[self.parity] | STOPS[self.stop]
        flags |= termios.CRTSCTS if self.rtscts else 0
        speed = getattr(termios, f"B{self.speed}")
        return [termios.IGNPAR | termios.PARMRK, 0, flags, 0, speed, speed, cc]


class TtyBackend(CharBackend):
    """One terminal, ours alone while it is open, given back as it was."""

    def __init__(self, path: str, settings: TtySettings, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._settings = settings
        self._descriptor = -1
        self._saved: list[Any] = []
        self._marks = BreakMarks()
        self._blocked = False
        self._hung_up = False

    def open(self, submit: Submit) -> None:
        """Take the terminal; BackendError if there is none, or somebody else has it."""
        super().open(submit)
        where = f"{self._name}: cannot open terminal {self._path}"
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise BackendError(f"{where}: {error.strerror}") from error
        try:
            self._take()
        except (OSError, termios.error) as error:
            os.close(self._descriptor)
            self._descriptor = -1
            reason = "another program has locked it" if isinstance(error, BlockingIOError) else error.args[-1]
            raise BackendError(f"{where}: {reason}") from error

    def close(self) -> None:
        """Let the line send what it has taken, for a while, and give it back as it was."""
        if self._descriptor < 0:
            return
        if not self._hung_up:
            self._drain()
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved)
        os.close(self._descriptor)
        self._descriptor = -1

    def take_word(self, word: str) -> bool:
        """The same terminal with other settings."""
        path, settings = parse_tty(word.removeprefix("tty:"), self._name) if self._is_ours(word) else ("", None)
        if settings is None or path != self._path:
            return False
        try:
            self._set(settings, self._saved)
        except (OSError, termios.error) as error:
            raise BackendError(f"{self._name}: cannot set up terminal {path}: {reason_of(error)}") from error
        self._settings = settings
        return True

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The terminal, as far as there is room, until it hangs up."""
        if self._hung_up or not (room > 0 or self._blocked):
            return ()
        return [(self._descriptor, room > 0, self._blocked)]

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read what is there, or go on writing."""
        if writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
        if readable and room > 0:
            self._read(room)

    def write(self, data: bytes) -> BackendResult:
        """Write as much as goes; a line that has hung up takes everything, as nobody is there."""
        if self._hung_up:
            return BackendResult(len(data))
        result = write_nonblocking(self._descriptor, data)
        self._blocked = result.accepted < len(data) and not result.error
        return result

    def _take(self) -> None:
        """Lock the terminal and make it ours; OSError, termios.error if it is somebody else's, or none."""
        saved = termios.tcgetattr(self._descriptor)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._set(self._settings, saved)
        self._saved = saved

    def _is_ours(self, word: str) -> bool:
        return word.removeprefix("tty:").split(",")[0] == self._path

    def _set(self, settings: TtySettings, before: list[Any]) -> None:
        termios.tcsetattr(self._descriptor, termios.TCSANOW, settings.attributes(before))

    def _read(self, room: int) -> None:
        try:
            data = os.read(self._descriptor, room)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # A pseudo-terminal whose master has gone, a USB adapter that was pulled out.
            self._hung_up = True
            self._blocked = False
            self._submit(HostEvent.CLOSED, b"", 0)
            return
        for event, text in self._marks.feed(data):
            self._submit(event, text, 0)

    def _drain(self) -> None:
        """tcdrain(3) knows no limit, and the other side may hold the line for ever; so does close(2), for a while."""
        drained = threading.Thread(target=self._drain_output, daemon=True)
        drained.start()
        drained.join(DRAIN_S)
        if drained.is_alive():
            log.warning("%s: the other side holds the line; what it has not taken is lost", self._path)
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._descriptor, termios.TCOFLUSH)
            drained.join(DRAIN_S)

    def _drain_output(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            termios.tcdrain(self._descriptor)


class BreakMarks:
    """Breaks among the input, as PARMRK writes them (termios(3)): FF 00 00; a byte FF is FF FF."""

    def __init__(self) -> None:
        self._mark = b""

    def feed(self, data: bytes) -> Iterator[tuple[HostEvent, bytes]]:
        """The bytes and the breaks, in order."""
        data = self._mark + data
        self._mark = b""
        text = bytearray()
        at = 0
        while (found := data.find(MARK, at)) >= 0:
            text += data[at:found]
            mark = data[found : found + 3]
            whole = 2 if mark[1:2] != b"\0" else 3
            if len(mark) < whole:
                self._mark, at = mark, len(data)
                break
            at = found + whole
            if mark == b"\xff\0\0":
                if text:
                    yield HostEvent.DATA, bytes(text)
                    text.clear()
                yield HostEvent.BREAK, b""
            elif whole == len(mark):
                # A byte with a wrong frame is better than none.
                text += mark[-1:]
            else:
                text += mark[1:2]
        text += data[at:]
        if text:
            yield HostEvent.DATA, bytes(text)


def parse_tty(argument: str, name: str) -> tuple[str, TtySettings]:
    """`PATH[,speed=N][,bits=5..8][,parity=none|even|odd][,stop=1|2][,rtscts=on]`; BackendError says what is wrong."""
    path, *words = split_commas(argument) or [""]
    where = f"{name}: backend tty:{argument}"
    if not path:
        raise BackendError(f"{name}: backend tty needs a path: tty:/dev/DEVICE")
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key in REFUSED:
            raise BackendError(f"{where}: {key}: {REFUSED[key]}")
        if key not in OPTIONS:
            raise BackendError(f"{where}: unknown option {key!r} (known: {', '.join(OPTIONS)})")
        options[key] = value if equals else "on"
    parity = options.get("parity", "none")
    if parity not in PARITIES:
        raise BackendError(f"{where}: parity {parity!r} is not one of {', '.join(PARITIES)}")
    speed = number(options.get("speed", str(DEFAULT_SPEED)), 1, 1 << 32, f"{where}: speed")
    if not hasattr(termios, f"B{speed}"):
        raise BackendError(f"{where}: speed {speed} is none that terminals have; such as 9600 or {DEFAULT_SPEED}")
    return path, TtySettings(
        speed=speed,
        bits=number(options.get("bits", "8"), min(SIZES), max(SIZES), f"{where}: bits"),
        parity=parity,
        stop=number(options.get("stop", "1"), min(STOPS), max(STOPS), f"{where}: stop"),
        rtscts=switch(options.get("rtscts", "off"), f"{where}: rtscts"),
    )


def create_tty(argument: str, name: str) -> Backend:
    """`tty:PATH[,speed=N]...`, or the path alone."""
    path, settings = parse_tty(argument, name)
    return TtyBackend(path, settings, name)
