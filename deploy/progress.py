"""How far a run is, in words, and when they are shown."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from machine.shown import shown_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

QUIET_S: Final = 2.0
"""A run shorter than this shows no progress."""

LINE_PERIOD_S: Final = 10.0
"""Between two lines where lines cannot be rewritten."""

_RATE_WINDOW_S: Final = 3.0
_LEAST_SEEN: Final = 2
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


class Progress:
    """The progress of one run; times are seconds since its start, `end_icount` is 0 if nobody knows it."""

    def __init__(self, end_icount: int) -> None:
        self._end_icount = end_icount
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def text(self, now_s: float, icount: int) -> str:
        """The line for a moment of the run; called in the order of time."""
        self._seen.append((now_s, icount))
        while len(self._seen) > _LEAST_SEEN and now_s - self._seen[1][0] >= _RATE_WINDOW_S:
            self._seen.popleft()
        since_s, since = self._seen[0]
        rate = (icount - since) / (now_s - since_s) if now_s > since_s else 0.0
        parts = [f"{icount:,} instructions", f"{rate / 1e6:.1f} MIPS"]
        if self._end_icount:
            left = max(0, self._end_icount - icount)
            parts.append(f"{100 * min(1.0, icount / self._end_icount):.0f} %")
            parts.append(f"{duration(left / rate)} left" if rate > 0 else "time left unknown")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A span of time for people: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = int(seconds + 0.5)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"


class Screen:
    """Standard error as the launcher uses it: lines that stay, and one that is rewritten.

    `owned` says that a device has the terminal: no progress then, and lines end as a raw terminal wants.
    """

    def __init__(self, stream: TextIO, *, owned: bool) -> None:
        self._stream = stream
        self._owned = owned
        self._rewrites = stream.isatty()
        self._shown = False
        self._next_line_s = QUIET_S

    def line(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._write(shown_line(text) + ("\r\n" if self._owned else "\n"))

    def progress(self, now_s: float, text: str) -> None:
        """Show progress if its time has come; `now_s` counts from the start of the run."""
        if self._owned or now_s < QUIET_S:
            return
        if self._rewrites:
            self._write(f"\r\x1b[K{text}")
            self._shown = True
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_PERIOD_S
            self._write(text + "\n")

    def clear(self) -> None:
        """Take the progress line away."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # Whoever read our standard error has gone; the run itself matters more than telling of it.
            self._owned = True


@contextmanager
def shown_progress(end_icount: int) -> Iterator[Callable[[int], None]]:
    """Standard error shows the instruction counts that are told, of a replay that begins now and has no terminal."""
    progress, screen, started_s = Progress(end_icount), Screen(sys.stderr, owned=False), time.monotonic()

    def tell(icount: int) -> None:
        now_s = time.monotonic() - started_s
        screen.progress(now_s, progress.text(now_s, icount))

    try:
        yield tell
    finally:
        screen.clear()
