"""A CPU node that is killed under Debian, in the middle of a download: another goes on from the newest snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.killing import kill_node, killed_meanwhile

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

KILLS: Final = 6
"""`python -m tests.bench --only killed-cpu` kills it a hundred times."""
FILE_BYTES: Final = 2_000_000


def test_a_killed_cpu_goes_on_in_the_middle_of_a_download_with_typing(home: Home) -> None:
    pauses: list[int] = []
    recording = killed_meanwhile(home, KILLS, FILE_BYTES, lambda _, qmp, __: pauses.append(kill_node(home, qmp, "cpu")))
    print(f"cpu: {KILLS} kills, pauses {pauses} ms")
    home.verify_both_ways(recording)
