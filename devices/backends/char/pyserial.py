"""Any port that pyserial has a URL for: serial adapters by name, RFC 2217 servers, raw sockets, loops, spies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend
from devices.backends.char.pump import TROUBLE, Pump
from devices.backends.words import number, split_commas
from machine.errors import BackendError, reason_of
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

log = logging.getLogger("dejavm")

DEFAULT_SPEED: Final = 115200
HIGHEST_SPEED: Final = 1 << 26
LOOK_S: Final = 0.05
"""How long a read of a port waits for a first byte; leaving waits no longer than that."""


class PySerialBackend(CharBackend):
    """One port, driven by threads as its calls block; this side never waits for them."""

    def __init__(self, url: str, speed: int, name: str) -> None:
        super().__init__(name)
        self._url = url
        self._speed = speed
        self._pump: Pump | None = None
        self._blocked = False
        self._gone = False

    def open(self, submit: Submit) -> None:
        """Open the port; BackendError says why it cannot be had."""
        super().open(submit)
        # Half of this process's start-up if it were always imported.
        import serial  # noqa: PLC0415

        try:
            port = serial.serial_for_url(self._url, baudrate=self._speed, timeout=LOOK_S)
        except (*TROUBLE, ImportError, LookupError) as error:
            raise BackendError(f"{self._name}: cannot open {self._url}: {reason_of(error)}") from error
        self._pump = Pump(port)

    def close(self) -> None:
        """Close the port when it has taken what was taken on its behalf."""
        if self._pump is not None:
            if not self._pump.close() and not self._gone:
                log.warning("%s: what it has not taken in time is lost", self._url)
            self._pump = None

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The threads' bell."""
        return [(self._pump.descriptor, True, False)] if self._pump is not None and not self._gone else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Hand on what has come, go on writing, or see that the port has gone."""
        if self._pump is None:
            return
        self._pump.see()
        if self._blocked and self._pump.has_space():
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
        self.advance(room)

    def advance(self, room: int) -> None:
        """Hand on as much as there is room for."""
        if self._pump is None or self._gone:
            return
        if room > 0 and (data := self._pump.take(room)):
            self._submit(HostEvent.DATA, data, 0)
        why = self._pump.broken()
        if why:
            self._gone = True
            self._blocked = False
            log.warning("%s: %s: %s", self._name, self._url, why)
            self._submit(HostEvent.CLOSED, b"", 0)

    def write(self, data: bytes) -> BackendResult:
        """Have it written; a port that has gone takes everything, as nobody is there."""
        if self._pump is None or self._gone:
            return BackendResult(len(data))
        taken = self._pump.give(data)
        self._blocked = taken < len(data)
        return BackendResult(taken)


def create_pyserial(argument: str, name: str) -> Backend:
    """`pyserial:URL[,speed=N]`, or the URL alone."""
    url, *options = split_commas(argument) or [""]
    where = f"{name}: backend pyserial:{argument}"
    if not url:
        raise BackendError(f"{name}: backend pyserial needs a port: pyserial:URL, such as rfc2217://HOST:PORT")
    speed = DEFAULT_SPEED
    for option in options:
        key, _, value = option.partition("=")
        if key != "speed":
            raise BackendError(f"{where}: unknown option {option!r} (known: speed=N)")
        speed = number(value, 1, HIGHEST_SPEED, f"{where}: speed")
    return PySerialBackend(url, speed, name)
