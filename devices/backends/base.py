"""What all backends have in common: waiting for nothing, saying nothing, taking everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Estate, Run, Submit


class BackendBase:
    """A backend that does nothing at all; devices/model.py, Backend, says what each method is for."""

    @property
    def relives(self) -> bool:
        """What was given to the host is with the host."""
        return False

    @property
    def replugs(self) -> bool:
        """What had been brought is for whoever reads the line."""
        return False

    @property
    def pace_ns(self) -> int:
        """What is said again may all be said at once."""
        return 0

    def __init__(self, name: str) -> None:
        self._name = name
        self._submit: Submit = _nobody
        self._estate: Estate | None = None

    @property
    def unrecordable(self) -> str:
        """Everything that comes by submit() and write() can be recorded."""
        return ""

    def attach(self, run: Run) -> None:
        """Nothing of the run matters here."""

    def open(self, submit: Submit) -> None:
        """Remember whom to tell."""
        self._submit = submit

    def keep(self, estate: Estate) -> None:
        """Remember where to leave what a successor needs."""
        self._estate = estate

    def memory(self) -> bytes:
        """Nothing is remembered."""
        return b""

    def recall(self, memory: bytes, submit: Submit) -> None:
        """Nothing follows from the past."""

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """Where nothing is said what a backend had on the host has gone with its process."""
        return False

    def close(self) -> None:
        """Nothing is held."""

    def parting(self) -> Sequence[bytes]:
        """There is one line, and it has gone."""
        return (b"",)

    def take_word(self, word: str) -> bool:
        """Another word means another backend."""
        return False

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Nothing is waited for."""
        return ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Nothing was waited for."""

    def advance(self, room: int) -> None:
        """Nothing waits for the device."""

    def write_again(self, data: bytes) -> BackendResult:
        """Twice is better than never."""
        return self.write(data)

    def write(self, data: bytes) -> BackendResult:
        """Everything is taken."""
        return BackendResult(len(data))

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """Nothing is captured."""

    def waiting(self) -> str:
        """Nobody has to appear."""
        return ""

    def wants_quit(self) -> bool:
        """Nobody is there to ask."""
        return False


class NoBackend(BackendBase):
    """What a device without a host's side has: all of it can be made again."""

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """There is nothing to go on with."""
        self.open(submit)
        return True

    def parting(self) -> Sequence[bytes]:
        """There never was a line."""
        return ()


def _nobody(_event: HostEvent, _data: bytes, _delay_ns: int) -> None:
    raise AssertionError("a backend spoke before it was opened")
