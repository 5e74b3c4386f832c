"""Trying again later: the one thread of a backend, for what waits for the host, such as calling a peer."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Retry(Generic[T]):
    """Calls `attempt` in a thread of its own, some seconds from now; its end makes a descriptor readable.

    `attempt` may wait, and says by OSError or BackendError that it has not succeeded.  `discard` lets go of a
    result that nobody wants any more.
    """

    def __init__(self, attempt: Callable[[], T], discard: Callable[[T], None], delays_s: Sequence[float]) -> None:
        self._attempt = attempt
        self._discard = discard
        self._delays_s = delays_s
        self._tries = 0
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._descriptor = -1
        self._result: T | None = None

    @property
    def running(self) -> bool:
        """Whether an attempt is waited for."""
        return self._descriptor >= 0

    @property
    def descriptor(self) -> int:
        """Readable when an attempt has ended; only while running."""
        return self._descriptor

    def begin(self) -> None:
        """Make an attempt after the next delay; the last of the delays stays."""
        assert not self.running
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        delay_s = self._delays_s[min(self._tries, len(self._delays_s) - 1)]
        self._tries += 1
        threading.Thread(target=self._run, args=(delay_s,), daemon=True).start()

    def take(self) -> T | None:
        """The result of an attempt that has ended; None if it failed, and another one has begun."""
        self._release()
        with self._lock:
            result, self._result = self._result, None
        if result is None:
            self.begin()
        return result

    def succeeded(self) -> None:
        """What was tried has worked: the next delay is the first one again."""
        self._tries = 0

    def close(self) -> None:
        """Give up.  An attempt that is on its way lets go of its result by itself."""
        self._closed.set()
        with self._lock:
            if self._result is not None:
                self._discard(self._result)
                self._result = None
            self._release()

    def _run(self, delay_s: float) -> None:
        if self._closed.wait(delay_s):
            return
        try:
            result = self._attempt()
        except (OSError, BackendError):
            result = None
        with self._lock:
            if self._closed.is_set():
                if result is not None:
                    self._discard(result)
                return
            self._result = result
            os.eventfd_write(self._descriptor, 1)

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
