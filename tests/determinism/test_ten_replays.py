"""One recorded interactive session, replayed many times on a loaded host with slow messages: always the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.guests import echo_script, guest, shell_script
from tests.harness.load import busy_cores
from tests.harness.machine import console, final_digest
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

REPLAYS: Final = 10
LONGEST_MS: Final = 50
AT_ONCE: Final = 10
"""Most of a replay's time goes into delays, so all at once only add to the load."""


def _replay_ten_times(home: Home, recording: Path, devices: str) -> set[str]:
    def replay(number: int) -> str:
        rig = Rig(longest_ms=LONGEST_MS, seed=number)
        env = {"PYTHONHASHSEED": str(number)}
        return home.verify(recording, "--devices", devices, rig=rig, env=env, timeout_s=280)

    with busy_cores(), ThreadPoolExecutor(AT_ONCE) as pool:
        return set(pool.map(replay, range(REPLAYS)))


@pytest.mark.debian
@pytest.mark.timeout(600)
@pytest.mark.parametrize("devices", ["log", "live"])
def test_ten_replays_of_a_shell_session_under_load_and_delays_are_equal(home: Home, devices: str) -> None:
    script = shell_script("ls /", "cat /proc/cpuinfo", "for i in 1 2 3; do echo $i; done", "sleep 0.2", "date")
    recording = home.record("--memory", "128M", "--serial", home.script(script))
    assert b"rv64" in console(recording)
    assert _replay_ten_times(home, recording, devices) == {final_digest(recording)}


@pytest.mark.system
@pytest.mark.timeout(300)
@pytest.mark.parametrize("devices", ["log", "live"])
def test_ten_replays_of_an_echo_session_under_load_and_delays_are_equal(home: Home, devices: str) -> None:
    script = home.script(echo_script("hello", "how are you"))
    recording = home.record("bare", "--kernel", guest("echo"), "--serial", script)
    assert _replay_ten_times(home, recording, devices) == {final_digest(recording)}


@pytest.mark.system
def test_a_recording_made_with_slow_messages_is_the_one_made_without(home: Home) -> None:
    script = home.script(echo_script("hello"))
    common = ("bare", "--kernel", guest("echo"), "--serial", script)
    plain = home.record(*common, name="plain")
    slow = home.record(*common, name="slow", rig=Rig(longest_ms=20))
    assert final_digest(slow) == final_digest(plain)
