"""A branch of a Debian guest: its shell goes on with what it knew, its network's other sides have gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from machine.codec import decode
from machine.icount import FIRST_DEVICE
from machine.message import HostEvent, HostInput
from machine.recording.reader import Recording
from tests.harness.debian_session import DebianSession
from tests.harness.net_guest import DHCP
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

MB = 1_000_000
PATIENCE_S = 60.0
CUE = "echo in the parent"


def stamp_of_typing(recording: Path, text: bytes) -> int:
    """The instruction at which the first byte of something typed was delivered."""
    typed, stamps = b"", []
    for frame in Recording.open(recording).frames():
        message = decode(frame.type, frame.payload)
        if isinstance(message, HostInput) and message.event is HostEvent.DATA and frame.target == FIRST_DEVICE:
            typed += message.data
            stamps += [frame.icount] * len(message.data)
    return stamps[typed.index(text)]


def test_a_shell_goes_on_with_other_commands_and_the_network_begins_anew(home: Home) -> None:
    devices = ("--nic", "user", "--usb", "kbd", "--rng", "seed=7", "--snapshot-every", "2s")
    with serving(noise(MB), first=MB // 2) as server:
        with DebianSession(home, *devices, name="parent") as session:
            session.do(DHCP)
            session.do("told=before")
            fetch = f"(wget -T 5 -q -O /file http://10.0.2.2:{server.port}/file; echo the download ended with $?) &"
            session.do(fetch)
            assert server.sent_first.wait(PATIENCE_S)
            session.do(CUE)
            server.rest.set()
        place = f"{session.recording}@{stamp_of_typing(session.recording, CUE.encode())}"
        with DebianSession(home, name="child", branch=place) as child:
            assert "before, in the child" in child.do("echo $told, in the child")
            child.until(b"the download ended with 1")
            child.do("")
            again = child.do(f"wget -q -O /file http://10.0.2.2:{server.port}/again; sha256sum /file")
            assert server.sha256 in again
            assert "1" in child.do("cat /sys/class/net/eth0/carrier")
    assert server.requests == ["/file", "/again"]
    shutil.move(session.recording, home.work / "elsewhere")
    home.verify_both_ways(child.recording)
