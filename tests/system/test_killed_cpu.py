"""A CPU node that is killed under Debian, in the middle of a download, and the broker behind it: others go on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.killing import await_said, kill_node, killed_meanwhile

if TYPE_CHECKING:
    from tests.harness.debian_session import DebianSession
    from tests.harness.machine import Home
    from tests.harness.monitor import Qmp

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

KILLS: Final = 6
"""`python -m tests.bench --only killed-cpu` kills it a hundred times."""
FILE_BYTES: Final = 2_000_000
TAIL: Final = 60
"""Bytes at the console's end; a prompt and the line before it are less."""


def test_a_killed_cpu_and_a_killed_broker_go_on_in_the_middle_of_a_download_with_typing(home: Home) -> None:
    """The last one is the broker, in the middle of a rebuild; a capture and a disk are behind it, too."""
    disk, capture, again = (home.work / name for name in ("disk.img", "first.pcapng", "again.pcapng"))
    disk.write_bytes(bytes(1 << 16))
    pauses: list[int] = []

    def kill(session: DebianSession, qmp: Qmp, number: int) -> None:
        if number < KILLS - 1:
            pauses.append(kill_node(home, qmp, "cpu"))
            return
        # What is not in the log yet the guest would say twice.
        await_said(session.recording, session.said[-TAIL:])
        for name in ("nic0", "broker"):
            os.kill(home.pid_of(name), signal.SIGKILL)

    options = ("--nic", f"user,pcap={capture}", "--usb", f"storage,file={disk}")
    recording = killed_meanwhile(home, KILLS, FILE_BYTES, kill, options)
    print(f"cpu: {KILLS - 1} kills, pauses {pauses} ms")
    assert len(Recording.open(recording).facts.continued) == 1
    home.verify(recording)
    done = home.run("replay", recording, "--nic", f"pcap:{again}")
    assert done.exit_code == 0, done.stderr
    assert again.read_bytes() == capture.read_bytes()
