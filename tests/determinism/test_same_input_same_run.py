"""A closed guest that talks to a script runs the same in every recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import echo_script, guest
from tests.harness.machine import console, final_digest

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system


@pytest.mark.parametrize("sleep", ["on", "off"])
def test_two_recordings_of_a_closed_guest_are_equal(home: Home, sleep: str) -> None:
    serial = home.script(echo_script("hello world", "a second line", "x" * 300))
    common = ("bare", "--kernel", guest("echo"), "--serial", serial, "--sleep", sleep)
    first = home.record(*common, name="first", env={"PYTHONHASHSEED": "1"})
    second = home.record(*common, name="second", env={"PYTHONHASHSEED": "2"})
    assert b"A SECOND LINE" in console(first)
    assert final_digest(first) == final_digest(second)


def test_a_delay_of_a_script_is_the_same_virtual_time_in_every_recording(home: Home) -> None:
    steps = 'expect READY\ndelay 40ms\nsend "later\\n"\nexpect LATER\nsend "\\x04"\nexpect PASS\n'
    serial = home.script(steps)
    common = ("bare", "--kernel", guest("echo"), "--serial", serial)
    recordings = [home.record(*common, "--sleep", sleep, name=f"sleep-{sleep}") for sleep in ("on", "off")]
    again = home.record(*common, "--sleep", "off", name="again")
    assert final_digest(recordings[1]) == final_digest(again)
    for recording in recordings:
        home.verify_both_ways(recording)


def test_another_input_is_another_run(home: Home) -> None:
    digests = set()
    for number, text in enumerate(("hello", "hallo")):
        serial = home.script(echo_script(text), f"script{number}.txt")
        recording = home.record("bare", "--kernel", guest("echo"), "--serial", serial, name=f"run{number}")
        digests.add(final_digest(recording))
    assert len(digests) == 2
