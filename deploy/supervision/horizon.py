"""A broker on another host that is out of sight: it has died, or the network between has.

The processes of this host end by themselves when their connection is lost, and supervisor starts others, which wait for
a broker.  What each of them was is with whoever comes: the broker's host takes the machine back (returning.py).

Lives here: how long that is waited for, and what is no news meanwhile.  Never here: sockets.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.supervision.place import ServicePlaces

log = logging.getLogger("dejavm")

PATIENCE_S: Final = 60.0
"""How long a network may take to be there again."""
RETURN_S: Final = 600.0
"""The same where another broker may come: it takes the machine back first."""


class Horizon:
    """What is known of one machine's broker from here."""

    def __init__(self, places: ServicePlaces, *, awaits: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`awaits`: the broker's host starts another one when it is killed, if it records."""
        self._places = places
        self._may_return = awaits
        self._recorded = False
        self._clock = clock
        self._lost_s: float | None = None
        self._why = ""

    @property
    def _awaits(self) -> bool:
        return self._may_return and self._recorded

    def lost(self, why: str) -> None:
        """The connection is broken."""
        if self._lost_s is not None:
            return
        self._lost_s, self._why = self._clock(), why
        log.warning("%s; %s", why, "another broker is waited for" if self._awaits else "it is waited for")
        if self._awaits:
            self._places.say_returning(f"{why}; another broker is waited for")

    def seen(self, *, recorded: bool) -> bool:
        """A broker has spoken, and said whether the run is recorded; whether it was out of sight before."""
        self._recorded = recorded
        if self._lost_s is None:
            return False
        log.warning("a broker is there again after %.1f s", self._clock() - self._lost_s)
        self._lost_s = None
        self._places.returning.unlink(missing_ok=True)
        return True

    def given_up(self) -> str:
        """Why it is waited for no longer; "" while it is, and while it is there."""
        if self._lost_s is None:
            return ""
        patience_s = RETURN_S if self._awaits else PATIENCE_S
        if self._clock() - self._lost_s < patience_s:
            return ""
        self._places.returning.unlink(missing_ok=True)
        return f"{self._why}; no broker came within {patience_s:.0f} s"

    def is_dark(self) -> bool:
        """Whether it is out of sight: that processes end which had to do with it is no news to whoever comes."""
        return self._lost_s is not None
