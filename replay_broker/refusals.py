"""What has been refused: counted always, written down seldom.

Lives here: how often a stranger is mentioned.  Never here: who is one.
"""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger("dejavm")

MENTIONED: Final = 8
"""So many refusals have a line each; behind them only every doubling of their number has."""
LONGEST: Final = 200
"""Characters of a line: the words may be a stranger's."""


class Refusals:
    """Somebody who sends thousands of messages a second must not fill the host's disk."""

    def __init__(self) -> None:
        self.total = 0

    def note(self, what: str) -> None:
        """One more: `what` says in a few words what it was."""
        self.total += 1
        if self.total <= MENTIONED or self.total & (self.total - 1) == 0:
            shown = "".join(char if char.isprintable() else "?" for char in what[:LONGEST])
            log.warning("refused %s (%d so far)", shown, self.total)
