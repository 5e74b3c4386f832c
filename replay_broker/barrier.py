"""The barrier in front of the run: for whom it waits, who is told so, and how long that may take.

Lives here: the deadlines, the words.  Never here: who belongs to the machine (roster.py).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from replay_broker.roster import Roster

log = logging.getLogger("dejavm")

HELLO_TIMEOUT_S: Final = 60.0
SHOWN_S: Final = 1.0
"""A shorter wait is nobody's business."""
MENTIONED_S: Final = 10.0
"""The first wait that has a line in the diagnostics; each further one says twice as long."""


class Barrier:
    """Nobody runs before everybody has come and opened what he needs."""

    def __init__(self, roster: Roster, clock: Callable[[], float] = time.monotonic) -> None:
        self._roster = roster
        self._clock = clock
        self._started_s = clock()
        self._mention_s = MENTIONED_S
        self.hello_timeout_s = HELLO_TIMEOUT_S
        """How long nodes may take to come."""
        self.ready_timeout_s: float | None = None
        """How long they may take until they are ready; None: for ever."""

    def allow(self, hello_s: float, ready_s: float | None) -> None:
        """So long to come, and so long to be ready.

        None: for ever, since somebody may have to connect first.  Whoever was connected to a machine that has run
        before may take his time to come back.
        """
        self.hello_timeout_s, self.ready_timeout_s = hello_s, ready_s

    def look(self) -> str:
        """Why the run will not begin any more; "" while it may.  A wait that has become long is mentioned."""
        waited_s, missing, unready = self._waited_s(), self._roster.missing(), self._roster.unready()
        if missing and waited_s > self.hello_timeout_s:
            return f"not here after {self.hello_timeout_s:.0f} s: {', '.join(missing)}"
        if self.ready_timeout_s is not None and waited_s > self.ready_timeout_s:
            return f"not ready after {self.ready_timeout_s:.0f} s: {', '.join(unready)}"
        if waited_s >= self._mention_s:
            self._mention_s *= 2
            log.warning("the machine does not run yet: waiting for %s", self.waiting_for())
        return ""

    def waiting_for(self) -> str:
        """`nic0, serial0 (12 s)`: who has not come, or, where all have, who is not ready; "" in the first moment."""
        waited_s = self._waited_s()
        names = ", ".join(self._roster.missing() or self._roster.unready())
        return f"{names} ({waited_s:.0f} s)" if names and waited_s >= SHOWN_S else ""

    def _waited_s(self) -> float:
        return self._clock() - self._started_s
