"""The signals that end a run, as a descriptor a loop can wait on."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """While entered, counts the signals that ask for the end instead of dying of them."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, signal._HANDLER] = {}
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        os.set_blocking(self.fd, False)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write_fd)

    def drain(self) -> int:
        """How many have come so far; the descriptor is quiet again."""
        with suppress(BlockingIOError):
            self.count += len(os.read(self.fd, 64))
        return self.count

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        # A pipe full of Ctrl-C says no more than one does.
        with suppress(BlockingIOError):
            os.write(self._write_fd, b"!")


@contextmanager
def _handled_by(handler: signal._HANDLER) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ENDING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def dying_as_interrupt() -> AbstractContextManager[None]:
    """While entered, each is a KeyboardInterrupt: what has been begun is undone before the process dies of it."""
    return _handled_by(signal.default_int_handler)


def deaf() -> AbstractContextManager[None]:
    """While entered, none of them is heard: what is being undone is undone whole."""
    return _handled_by(signal.SIG_IGN)


@contextmanager
def held_back() -> Iterator[Callable[[], object]]:
    """While entered, they wait, until what this yields is called."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
