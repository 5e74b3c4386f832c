"""A CPU that is killed a hundred times during a recorded Debian download with typing: the pauses."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Final

from tests.harness.killing import kill_node, killed_meanwhile
from tests.harness.machine import Home

if TYPE_CHECKING:
    from tests.harness.debian_session import DebianSession
    from tests.harness.monitor import Qmp

KILLS: Final = 100
FILE_BYTES: Final = 12_000_000


def measure_killed_cpu() -> dict[str, float | int]:
    """Milliseconds; AssertionError when a byte is lost or doubled, or the recording is not bit-exact."""
    home = Home()
    pauses: list[int] = []
    try:

        def kill(_session: DebianSession, qmp: Qmp, number: int) -> None:
            pauses.append(kill_node(home, qmp, "cpu"))
            sys.stderr.write(f"killed-cpu: {number + 1} of {KILLS}, {pauses[-1]} ms\n")

        home.verify_both_ways(killed_meanwhile(home, KILLS, FILE_BYTES, kill))
    except BaseException:
        sys.stderr.write(f"killed-cpu: what there is of it is kept in {home.path}\n")
        raise
    finally:
        home.end()
    home.remove()
    return {
        "kills": len(pauses),
        "pause ms median": statistics.median(pauses),
        "pause ms 90 %": statistics.quantiles(pauses, n=10)[-1],
        "pause ms longest": max(pauses),
    }
