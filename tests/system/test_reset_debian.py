"""The stock kernel restarts a machine with every kind of device, and boots again as if nothing had been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from machine.codec import decode
from machine.message import Reset
from machine.recording.reader import Recording
from tests.harness.machine import console

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

HANDS: Final = """expect "# "
send "echo one > /tmp/mark; ls /tmp; reboot -f\\n"
expect "# "
send "ls /tmp/mark; ip link; poweroff -f\\n"
"""


def test_debian_reboots_with_its_network_card_usb_and_entropy(home: Home) -> None:
    devices = ("--nic", "user", "--usb", "kbd", "--rng", "seed=3", "--input", "kbd", "--snapshot-every", "2s")
    recording = home.record("debian", "--serial", home.script(HANDS), *devices)
    said = console(recording)
    assert said.count(b"reboot: Restarting system") == 1
    assert said.count(b"Linux version") == 2
    assert b"/tmp/mark: No such file" in said
    assert b"eth0" in said[said.index(b"/tmp/mark: No such file") :]
    resets = [f for f in Recording.open(recording).frames() if isinstance(decode(f.type, f.payload), Reset)]
    assert len(resets) == 2 * len(Recording.open(recording).board.devices) + 1
    home.verify_both_ways(recording)
