"""Slow work of a backend in threads; what becomes of it comes back in the shell's one loop.

Jobs of one lane are done one after the other, in their order; lanes do not wait for each other.  A thread never
touches a backend: it does the job and leaves the result, and a descriptor tells the loop to collect().
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

log = logging.getLogger("dejavm")

T = TypeVar("T")

THREADS: Final = 8
"""Threads of a pool at most; each is started when it is first needed."""
LANE_JOBS: Final = 64
"""Jobs of a lane that have not been collected, at most."""
PATIENCE_S: Final = 2.0
"""How long a pool that is closed waits for the jobs that are left."""


@dataclass(frozen=True, slots=True)
class _Job:
    do: Callable[[], Any]
    done: Callable[[Any, int], None] | None


class Lane:
    """Jobs that are done in their order.  Used by the loop's thread; made by WorkPool.lane()."""

    def __init__(self, pool: WorkPool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._left = 0
        """Jobs that have not been collected."""
        self.waiting: deque[_Job] = deque()
        """The pool's: jobs not begun."""
        self.busy = False
        """The pool's: one of the jobs is being done, or the lane waits for a thread."""
        self.cut = False
        """No result is handed on any more."""

    def submit(self, do: Callable[[], T], done: Callable[[T | None, int], None]) -> bool:
        """Have do() done in a thread and done(result, 0) or done(None, errno) called by collect(); False if full."""
        if self._left >= self._limit or self.cut:
            return False
        self._left += 1
        self._pool.add(self, _Job(do, done))
        return True

    def collected(self) -> None:
        """The pool's: a result has been handed on."""
        self._left -= 1

    def end(self, last: Callable[[], None], *, finish: bool) -> None:
        """No result comes from here on; `last` is done behind the job under way, or behind all with `finish`.

        It is done here and now when there is nothing to wait for.
        """
        if self.cut:
            return
        self.cut = True
        if not self._pool.end(self, _Job(last, None), finish=finish):
            last()


class WorkPool:
    """Threads and the way back; everything but the jobs themselves happens in the loop's thread."""

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._name = name
        self._limit = threads
        self._threads = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._ready: deque[Lane] = deque()
        """Lanes with a job that no thread has begun."""
        self._undone = 0
        """Jobs of all lanes."""
        self._ended: deque[tuple[Lane, Callable[[Any, int], None], Any, int]] = deque()
        self._closed = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.closing = threading.Event()
        """Set when the pool is closed: a job that waits on purpose waits for this."""

    @property
    def wake_fd(self) -> int:
        """Readable when collect() has something to do; -1 when closed."""
        return self._wake_fd

    def lane(self, limit: int = LANE_JOBS) -> Lane:
        """A new lane that holds so many jobs at most."""
        return Lane(self, limit)

    def add(self, lane: Lane, job: _Job) -> None:
        """A lane's job."""
        with self._changed:
            self._undone += 1
            lane.waiting.append(job)
            self._make_ready(lane)

    def end(self, lane: Lane, last: _Job, *, finish: bool) -> bool:
        """A lane's last job; False if it can be done at once."""
        with self._changed:
            if not lane.busy:
                return False
            if not finish:
                self._undone -= len(lane.waiting)
                lane.waiting.clear()
            self._undone += 1
            lane.waiting.append(last)
            return True

    def collect(self) -> None:
        """Hand on what has been done since last time, in that order."""
        if self._wake_fd < 0:
            return
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return
        with self._changed:
            ended, self._ended = self._ended, deque()
        for lane, done, value, error in ended:
            lane.collected()
            if not lane.cut:
                done(value, error)

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Wait a little for the jobs that are left, then leave them behind; whether all were done."""
        self.closing.set()
        with self._changed:
            if self._wake_fd < 0:
                return True
            done = self._changed.wait_for(lambda: not self._undone, patience_s)
            self._closed = True
            left = self._undone
            self._ready.clear()
            os.close(self._wake_fd)
            self._wake_fd = -1
            self._changed.notify_all()
        if not done:
            log.warning("%s: %d jobs on the host are not done and are left behind", self._name, left)
        return done

    def _make_ready(self, lane: Lane) -> None:
        if lane.busy:
            return
        lane.busy = True
        self._ready.append(lane)
        if self._idle:
            self._changed.notify()
        elif self._threads < self._limit:
            self._threads += 1
            name = f"{self._name}-work-{self._threads}"
            # A thread that hangs in the host must not keep the process from ending.
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        """A thread's life."""
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._ready or self._closed)
                self._idle -= 1
                if self._closed:
                    return
                lane = self._ready.popleft()
                job = lane.waiting.popleft()
            value, error = _attempt(job.do)
            with self._changed:
                self._undone -= 1
                lane.busy = False
                if self._wake_fd < 0:
                    return
                if lane.waiting:
                    self._make_ready(lane)
                if job.done is not None:
                    self._ended.append((lane, job.done, value, error))
                    os.eventfd_write(self._wake_fd, 1)
                self._changed.notify_all()


def _attempt(do: Callable[[], T]) -> tuple[T | None, int]:
    """The job's result, or an errno."""
    try:
        return do(), 0
    except OSError as reason:
        return None, reason.errno if reason.errno is not None and reason.errno > 0 else errno.EIO
    except MemoryError:
        return None, errno.ENOMEM
    except Exception:
        log.exception("a job on the host failed in a way it must not")
        return None, errno.EIO
