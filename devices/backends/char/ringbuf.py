"""The last of the output, kept in memory for whoever asks the monitor: QEMU's `ringbuf`; nothing comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend
from devices.backends.place import run_directory
from devices.backends.words import number, parse_options
from machine.errors import BackendError
from machine.message import BackendResult
from machine.ringbuf import RingWriter, ring_path

if TYPE_CHECKING:
    from devices.model import Backend, Submit

DEFAULT_BYTES: Final = 1 << 16
"""QEMU's."""
HIGHEST_BYTES: Final = 1 << 26


class RingBackend(CharBackend):
    """A ring in the running machine's directory, which the monitor's ringbuf-read reads (machine/ringbuf.py)."""

    def __init__(self, size: int, name: str) -> None:
        super().__init__(name)
        self._size = size
        self._ring: RingWriter | None = None

    def open(self, submit: Submit) -> None:
        """Make the ring; BackendError if there is no place for it."""
        super().open(submit)
        path = ring_path(run_directory(), self._name)
        try:
            self._ring = RingWriter(path, self._size)
        except OSError as error:
            raise BackendError(f"{self._name}: cannot make the ring buffer {path}: {error.strerror}") from error

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """A new ring, and empty."""
        self.open(submit)
        return True

    def close(self) -> None:
        """The ring goes with the machine."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def write(self, data: bytes) -> BackendResult:
        """Everything is taken; the oldest gives way."""
        if self._ring is not None:
            self._ring.write(data)
        return BackendResult(len(data))


def create_ringbuf(argument: str, name: str) -> Backend:
    """`ringbuf[:size=N]`, in bytes."""
    where = f"{name}: backend ringbuf"
    options = parse_options(argument, ("size",), where)
    if "size" not in options:
        return RingBackend(DEFAULT_BYTES, name)
    return RingBackend(number(options["size"], 1, HIGHEST_BYTES, f"{where}: size"), name)
