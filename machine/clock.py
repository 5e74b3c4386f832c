"""Virtual time: a pure function of the instruction counter and the recorded idle time.

Lives here: arithmetic.  Never here: the host's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from machine.errors import RemoteWireError

LONGEST_NS: Final = 1 << 62
"""Of what a guest sleeps, 146 years: with as many instructions it is virtual time that 64 bits hold."""


HIGHEST_NS: Final = (1 << 64) - 1
"""No run comes so far; a log of somebody's may say so."""


@dataclass(slots=True)
class VirtualClock:
    """Virtual nanoseconds = icount x 2^shift + idle nanoseconds (QEMU's `-icount shift=N`)."""

    shift: int = 0
    idle_ns: int = 0

    def at(self, icount: int) -> int:
        """The virtual time, in nanoseconds, at an instruction count; behind the last that 64 bits hold it stands."""
        return min((icount << self.shift) + self.idle_ns, HIGHEST_NS)

    def icount_at(self, time_ns: int) -> int:
        """The first instruction count at or after a virtual time, if the guest does not sleep before it."""
        running_ns = max(0, time_ns - self.idle_ns)
        return (running_ns + (1 << self.shift) - 1) >> self.shift


def slept(idle_ns: int, more_ns: int) -> int:
    """Idle time, in nanoseconds, behind one more sleep; RemoteWireError for more than any guest's."""
    if more_ns > LONGEST_NS - idle_ns:
        raise RemoteWireError(f"a sleep of {more_ns} ns behind {idle_ns} ns is longer than {LONGEST_NS} ns in all")
    return idle_ns + more_ns
