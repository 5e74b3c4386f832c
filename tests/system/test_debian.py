"""The stock Debian kernel: a shell on a terminal, the clock, the memory that processes take."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pexpect
import pytest

from machine.board import MIB
from tests.harness.guests import BOOT_AND_POWER_OFF, shell_script
from tests.harness.machine import console
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(240)]

PROMPT = "/ # "
BOOT_S = 90
GUEST_MIB = 128
CPU_EXTRA = 200 * MIB
OTHERS = 150 * MIB


def _open(home: Home, path: Path) -> pexpect.spawn:
    command, *args = home.argv("record", "--memory", f"{GUEST_MIB}M", "-o", path)
    child = pexpect.spawn(command, args, cwd=str(home.work), env=home.environment(), timeout=30)
    child.delaybeforesend = None
    child.expect_exact(PROMPT, timeout=BOOT_S)
    return child


def test_a_shell_on_a_terminal_is_left_with_the_escape_keys(home: Home) -> None:
    path = home.work / "a.dejavm"
    child = _open(home, path)
    child.sendline("echo hello")
    child.expect(r"\nhello\r+\n")
    child.expect_exact(PROMPT)
    # Once it speaks it can be interrupted; a shell that is about to start it may miss the key, here as anywhere.
    child.sendline("sh -c 'echo started; exec sleep 1000'")
    child.expect(r"\nstarted\r+\n")
    child.send("\x03")
    child.expect_exact(PROMPT)
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert home.run("info", path, "--json").json["clean_end"] is True
    home.verify_both_ways(path)


def test_leaving_the_shell_switches_the_machine_off_and_the_terminal_is_as_before(home: Home) -> None:
    path = home.work / "a.dejavm"
    command = shlex.join(home.argv("record", "--memory", f"{GUEST_MIB}M", "-o", path))
    shell = f"stty -a >before; {command}; echo code $? >code; stty -a >after"
    child = pexpect.spawn("/bin/sh", ["-c", shell], cwd=str(home.work), env=home.environment(), timeout=30)
    child.expect_exact(PROMPT, timeout=BOOT_S)
    child.sendline("exit")
    child.expect_exact("reboot: Power down")
    child.expect(pexpect.EOF)
    child.close()
    assert (home.work / "code").read_text() == "code 0\n"
    assert (home.work / "before").read_text() == (home.work / "after").read_text()
    home.verify_both_ways(path)


def test_the_guest_has_the_hosts_date(home: Home) -> None:
    started = datetime.now(UTC).timestamp()
    recording = home.record(
        "--memory", f"{GUEST_MIB}M", "--serial", home.script(shell_script("date -u +seconds=%s")), "--sleep", "off"
    )
    found = re.search(rb"seconds=(\d+)\r", console(recording))
    assert found
    assert started - 1 <= int(found[1]) <= datetime.now(UTC).timestamp() + 1
    home.verify_both_ways(recording)


@pytest.mark.parametrize("devices", ["record", "log", "live"])
def test_the_processes_stay_small(home: Home, devices: str) -> None:
    measured = home.work / "measured"
    measured.mkdir()
    rig = Rig(measure=str(measured))
    machine = ("--memory", f"{GUEST_MIB}M", "--serial", "null", "--append", BOOT_AND_POWER_OFF)
    recording = home.record(*machine, rig=rig if devices == "record" else None)
    if devices != "record":
        home.verify(recording, "--devices", devices, rig=rig)
    peaks = {path.name: int(path.read_text()) for path in measured.iterdir()}
    assert {"broker", "cpu"} <= set(peaks)
    assert peaks.pop("cpu") <= GUEST_MIB * MIB + CPU_EXTRA, peaks
    assert all(peak <= OTHERS for peak in peaks.values()), peaks
