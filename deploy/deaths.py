"""How often a recording's broker may die: counted here; how its machine is taken back, continuing.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.plan import Launch

TRIES: Final = 3
"""Deaths of a broker before it has written anything that stays."""


class Deaths:
    """How often brokers have died in a row that came no further than their predecessor."""

    def __init__(self) -> None:
        self._seq = -1
        self._times = 0

    def revive(self, run: Launch, say: Callable[[str], None]) -> None:
        """Take a run's machine back; MachineError, LogError if there is no way back."""
        # Reading recordings is loaded only where a broker has died: it takes 40 ms, which every start would wait for.
        from deploy.continuing import take_back  # noqa: PLC0415

        assert run.recording is not None
        say("the broker was killed; the machine is taken back to where its recording ends")
        place = take_back(run.recording)
        self.again(place.seq)
        say(f"another broker goes on from {place}")

    def again(self, seq: int) -> None:
        """One has died, and the machine is behind a message now.  MachineError if that was once too often."""
        self._times = 1 if seq > self._seq else self._times + 1
        self._seq = max(seq, self._seq)
        if self._times >= TRIES:
            raise MachineError(f"the broker has died {self._times} times at message {seq}; it is not started again")
