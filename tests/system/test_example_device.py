"""The device that docs/devices.md makes, in a whole machine: a guest reads it, somebody outside presses it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.devices import button
from tests.harness.guests import shell_script
from tests.harness.machine import ROOT, console
from tests.harness.monitor import connect

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(240)]
ADDRESS = 0x1005_0000
SLOT = f"""
[[device]]
name = "button0"
kind = "tests.devices.button:SPEC"
address = {ADDRESS:#x}
irq = 20
"""


def test_the_documents_device_is_the_one_tested_here_and_short() -> None:
    source = (ROOT / "tests/devices/button.py").read_text()
    assert f"```python\n{source}```" in (ROOT / "docs/devices.md").read_text()
    assert source.count("\n") < 60


def test_a_guest_counts_the_presses_and_every_replay_agrees(home: Home) -> None:
    board = home.work / "doorbell.toml"
    path = home.work / "bell"
    slot = f'{SLOT}backend = "unix:{path},server=on,wait=off"\n'
    board.write_text((ROOT / "deploy/boards/debian.toml").read_text() + slot)
    count, acknowledge = f"devmem {ADDRESS:#x} 32", f"devmem {ADDRESS + button.ACK:#x} 32 2"
    commands = f"until [ $({count}) != 0x00000000 ]; do :; done; sleep 1; {count}; {acknowledge}; {count}"
    script = home.script(shell_script(commands))
    running = home.start("record", board, "--memory", "128M", "--serial", script, "-o", home.work / "a.dejavm")
    with connect(path) as visitor:
        visitor.sendall(b"xxx")
        answer = b""
        while len(answer) < len(b"ding\n" * 3):
            answer += visitor.recv(100)
        finished = running.finish()
    assert finished.exit_code == 0, finished.stderr
    assert answer == b"ding\n" * 3
    found = re.findall(rb"\n(0x0000000\d)\r", console(home.work / "a.dejavm"))
    assert found == [b"0x00000003", b"0x00000001"]
    home.verify_both_ways(home.work / "a.dejavm")
