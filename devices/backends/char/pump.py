"""Two threads around a port whose calls block: bytes from it and bytes to it, and a descriptor that tells of both.

The shell's thread calls everything public here; the threads touch nothing but the port and what the lock guards.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

HELD_BYTES: Final = 1 << 16
"""Bytes kept in each direction; then whoever makes them waits."""
READ_BYTES: Final = 4096
DRAIN_S: Final = 2.0
"""How long the port is given, when we leave, for what has been taken on its behalf."""
TROUBLE: Final = (OSError, ValueError, TypeError, AttributeError)
"""What ports raise: SerialException is an OSError; closed while in use they trip over what they have let go of."""


class Port(Protocol):
    """What is needed of a port; `read` comes back after a while with what there is, perhaps nothing."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""

    def write(self, data: bytes) -> int | None:
        """Write everything, however long that takes."""

    def flush(self) -> None:
        """Wait until what was written has gone."""

    def reset_output_buffer(self) -> None:
        """Forget what was written and has not gone."""

    def close(self) -> None:
        """Close it."""


class Pump:
    """A port and its two threads."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._changed = threading.Condition()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._writing = False
        self._leaving = False
        self._broken = ""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._reader = threading.Thread(target=self._carry, args=(self._read,), daemon=True)
        self._writer = threading.Thread(target=self._carry, args=(self._write,), daemon=True)
        self._reader.start()
        self._writer.start()

    @property
    def descriptor(self) -> int:
        """Readable when something may have changed; see()."""
        return self._wake

    def see(self) -> None:
        """Take back what made the descriptor readable."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def take(self, size: int) -> bytes:
        """Up to `size` bytes that have come in."""
        with self._changed:
            data = bytes(self._incoming[:size])
            del self._incoming[:size]
            self._changed.notify_all()
            return data

    def give(self, data: bytes) -> int:
        """Have bytes written; how many are taken: all, if the port does not work any more."""
        with self._changed:
            if self._broken:
                return len(data)
            space = HELD_BYTES - len(self._outgoing)
            self._outgoing += data[:space]
            self._changed.notify_all()
            return min(space, len(data))

    def has_space(self) -> bool:
        """Whether give() takes something."""
        with self._changed:
            return len(self._outgoing) < HELD_BYTES

    def broken(self) -> str:
        """Why the port does not work any more, once everything that came in has been taken; "" if it does."""
        with self._changed:
            return "" if self._incoming else self._broken

    def close(self) -> bool:
        """Give the port the rest, for a while, and close it; False if it did not take everything."""
        with self._changed:
            self._changed.wait_for(lambda: self._broken or not (self._outgoing or self._writing), DRAIN_S)
            drained = not (self._outgoing or self._writing)
            self._leaving = True
            self._outgoing.clear()
            self._changed.notify_all()
        self._reader.join(DRAIN_S)
        try:
            if not drained:
                # Who still writes comes back from there.
                self._port.reset_output_buffer()
                self._writer.join(DRAIN_S)
            self._port.close()
        except TROUBLE:
            drained = False
        self._writer.join(DRAIN_S)
        if not (self._reader.is_alive() or self._writer.is_alive()):
            os.close(self._wake)
        return drained

    def _carry(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TROUBLE as error:
            with self._changed:
                self._broken = self._broken or str(error) or type(error).__name__
                self._outgoing.clear()
                self._writing = False
                self._changed.notify_all()
            self._tell()

    def _read(self) -> None:
        while True:
            data = bytearray()
            try:
                self._gather(data)
            finally:
                # What came before a port hung up has come.
                with self._changed:
                    self._incoming += data
                if data:
                    self._tell()
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or self._broken or len(self._incoming) < HELD_BYTES)
                if self._leaving or self._broken:
                    return

    def _gather(self, data: bytearray) -> None:
        data += self._port.read(1)
        # Some ports know of one byte only at a time.
        while data and len(data) < READ_BYTES and (more := self._port.in_waiting):
            data += self._port.read(min(more, READ_BYTES - len(data)))

    def _write(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._leaving or self._broken or self._outgoing)
                if not self._outgoing or self._broken:
                    return
                piece = bytes(self._outgoing[:READ_BYTES])
                del self._outgoing[: len(piece)]
                self._writing = True
            self._port.write(piece)
            self._port.flush()
            self._tell()

    def _tell(self) -> None:
        os.eventfd_write(self._wake, 1)
