"""When log, clock, monitor and the others have their turn: not while nodes wait for each other's words, but soon.

A blocking access of the guest's is two messages through the broker, and everybody waits for it.  What need not be done
between them is put off, for two thousandths of a second at the most.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MS: Final = 50
"""Between two looks at the time, before and behind the run."""
RUNNING_TICK_MS: Final = 500
"""The same while it runs and nothing is due earlier: an idle machine must cost its host nothing."""
FAREWELL_S: Final = 10.0
"""How long the broker stays after the end for a control client to dismiss it."""
LATECOMER_S: Final = 3.0
"""How long a dismissed broker stays for nodes that have not yet come, to send them home."""
PUT_OFF_NS: Final = 2_000_000
NS_PER_MS: Final = 1_000_000


class Turns:
    """Whether they have been put off, and until when."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._due_ns: int | None = None

    def may_be_put_off(self) -> bool:
        """Once more; False when they are due."""
        now_ns = self._clock()
        if self._due_ns is None:
            self._due_ns = now_ns + PUT_OFF_NS
        return now_ns < self._due_ns

    def taken(self) -> None:
        """They have had their turn."""
        self._due_ns = None

    def wait_ms(self, *wanted_ns: int | None) -> int:
        """How long the broker may sleep when this is what its parts want; None is nothing."""
        if self._due_ns is not None:
            return 1
        waits = [wait for wait in wanted_ns if wait is not None]
        return -(-min(waits) // NS_PER_MS) if waits else RUNNING_TICK_MS
