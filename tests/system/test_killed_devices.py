"""Device processes that are killed while a guest is recorded: another stands in, and the guest never notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.killing_devices import kill_devices

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

GENEROUS_MS: Final = 15_000
"""No test is timed: that a rebuild comes to its end is what is tested; `tests.bench --only killed-devices` measures."""


def test_a_hundred_kills_during_a_download_with_typing_lose_and_double_nothing(home: Home) -> None:
    recording, killer = kill_devices(home)
    print(killer.table())
    assert max(max(ms) for ms in killer.pauses.values()) < GENEROUS_MS, killer.table()
    home.verify_both_ways(recording)
