"""Devices that nobody uses cost nothing but some memory."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.guests import guest
from tests.harness.monitor import Qmp
from tests.harness.usbip_server import HOST, make_keyboard, serving

if TYPE_CHECKING:
    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system

ALL: Final = (
    *("--serial", "stdio", "--serial", "mon:unix:line,server=on,wait=off", "--serial", "ringbuf"),
    *("--nic", "none", "--nic", "user,pcap=packets", "--nic", "hub,id=1", "--nic", "stream,addr.path=nic,server=on"),
    *("--input", "kbd", "--input", "tablet", "--rng", "seed=1", "--rng", "host"),
    *("--usb", "kbd", "--usb", "mouse", "--usb", "storage,file=disk", "--usb", "serial,pty"),
)
NAMES: Final = (
    *("serial0", "serial1", "serial2", "rtc0", "nic0", "nic1", "nic2", "nic3"),
    *("input0", "input1", "rng0", "rng1", "usb0"),
)
MOST_BYTES: Final = 150_000_000
WATCHED_S: Final = 2.0


def _woken(pid: int) -> int:
    """How often any thread of a process has gone to sleep: one that only waits does not."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(number) for text in texts for number in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M))


def _peak_bytes(pid: int) -> int:
    """The most memory it ever had."""
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert match is not None
    return int(match[1]) * 1024


def test_no_device_is_large_and_none_wakes_while_the_guest_leaves_it_alone(home: Home) -> None:
    (home.work / "disk").write_bytes(bytes(1 << 20))
    with serving(make_keyboard()[0]) as port:
        outside = ("--usb", f"usbip,host={HOST},port={port},busid=1-1")
        watch(home, home.start("record", "bare", "--kernel", guest("echo"), *ALL, *outside, "-o", "a.dejavm"))
    home.verify_both_ways(home.work / "a.dejavm")


def watch(home: Home, running: Running) -> None:
    """A guest that says one word and sleeps."""
    process = running.process
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"READY\n"
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"HELLO\n"
    pids = {name: home.pid_of(name) for name in NAMES}
    with Qmp(home) as monitor:
        # The guest has gone to sleep; each device has handled what there was when the broker has looked round twice.
        for _ in range(2):
            monitor.execute("query-status")
        before = {name: _woken(pid) for name, pid in pids.items()}
        until = time.monotonic() + WATCHED_S
        while time.monotonic() < until:
            monitor.execute("query-status")
        after = {name: _woken(pid) for name, pid in pids.items()}
    # The serial line may still have been handing on its last character when the watch began.
    woken = {name: after[name] - before[name] for name in NAMES}
    assert {name: count for name, count in woken.items() if count > (5 if name == "serial0" else 0)} == {}
    assert {name: size for name, pid in pids.items() if (size := _peak_bytes(pid)) > MOST_BYTES} == {}
    out, err = process.communicate(b"\x04", timeout=60)
    assert process.returncode == 0, err
    assert out.endswith(b"PASS\n")
