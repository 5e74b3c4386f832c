"""Processes that are killed a hundred times during a recorded Debian download with typing: the pauses."""

from __future__ import annotations

import statistics
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.harness.killing import kill_node, killed_meanwhile
from tests.harness.killing_devices import kill_devices
from tests.harness.machine import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.debian_session import DebianSession
    from tests.harness.monitor import Qmp

KILLS: Final = 100
FILE_BYTES: Final = 12_000_000


def measure_killed_cpu() -> dict[str, float | int]:
    """Milliseconds; AssertionError when a byte is lost or doubled, or the recording is not bit-exact."""
    with _kept_if_it_fails("killed-cpu") as home:
        pauses: list[int] = []

        def kill(_session: DebianSession, qmp: Qmp, number: int) -> None:
            pauses.append(kill_node(home, qmp, "cpu"))
            sys.stderr.write(f"killed-cpu: {number + 1} of {KILLS}, {pauses[-1]} ms\n")

        home.verify_both_ways(killed_meanwhile(home, KILLS, FILE_BYTES, kill))
    return {
        "kills": len(pauses),
        "pause ms median": statistics.median(pauses),
        "pause ms 90 %": statistics.quantiles(pauses, n=10)[-1],
        "pause ms longest": max(pauses),
    }


def measure_killed_devices() -> dict[str, float | int]:
    """The same for every device, one after the other and at random."""
    with _kept_if_it_fails("killed-devices") as home:
        recording, killer = kill_devices(home)
        home.verify_both_ways(recording)
    figures: dict[str, float | int] = {"kills": sum(map(len, killer.pauses.values()))}
    for name, pauses in sorted(killer.pauses.items()):
        figures[f"{name} ms median"] = statistics.median(pauses)
        figures[f"{name} ms longest"] = max(pauses)
    return figures


@contextmanager
def _kept_if_it_fails(what: str) -> Iterator[Home]:
    home = Home()
    try:
        yield home
    except BaseException:
        sys.stderr.write(f"{what}: what there is of it is kept in {home.path}\n")
        raise
    finally:
        home.end()
    home.remove()
