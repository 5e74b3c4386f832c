"""Progress while a log is read: rate, percent and the time left, for what takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, TypeVar

from deploy.progress import Screen, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
EVERY: Final = 1 << 14
"""Messages between two looks at the clock."""
PERIOD_S: Final = 0.25


def watched(rows: Iterable[T], total: Callable[[], int] = int) -> Iterator[T]:
    """Hand on what stands for one message each, and show on standard error how far that is.

    `total` tells how many there are, 0 if nobody knows; it is asked once, when there is something to show.
    """
    screen = Screen(sys.stderr, owned=False)
    started_s = shown_s = time.monotonic()
    count: int | None = None
    try:
        for number, row in enumerate(rows):
            yield row
            if number % EVERY or not number:
                continue
            now_s = time.monotonic()
            if now_s - shown_s >= PERIOD_S:
                shown_s = now_s
                count = total() if count is None else count
                screen.progress(now_s - started_s, progress_text(number, count, now_s - started_s))
    finally:
        screen.clear()


def progress_text(done: int, total: int, seconds: float) -> str:
    """The line for `done` of `total` messages (0: nobody knows) after some time."""
    rate = done / seconds
    text = f"{done:,} messages, {rate:,.0f} a second"
    if not total:
        return text
    return f"{text}, {min(1.0, done / total):.0%}, {duration(max(0, total - done) / rate)} left"
