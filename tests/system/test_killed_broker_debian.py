"""A broker that is killed under Debian in the middle of a download, with a disk, a keyboard and a capture behind it."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import Ether

from machine.recording.reader import Recording
from tests.harness.debian_session import DebianSession
from tests.harness.killing import await_all_said, await_size
from tests.harness.monitor import Qmp, connect
from tests.harness.net import framed, read_capture
from tests.harness.net_guest import DHCP, address
from tests.harness.net_http import noise, serving
from tests.harness.net_peer import GUEST_IP, answer, echo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

FILE_BYTES: Final = 1_500_000
PIECES: Final = 2
MOST_PIECES: Final = 100
"""More than are asked for by who begins anew."""
PART_BYTES: Final = 200_000
DISK_BYTES: Final = 1 << 18
SECTOR: Final = 512
SEEK: Final = 10
LINES: Final = b"".join(b"%03d\n" % number for number in range(1, 501))
DEADLINE_S: Final = 60.0
UNPLUGGED: Final = 2
"""Devices: each is pulled out, and is another one behind that."""
AWAIT_USB: Final = (
    "until [ $(dmesg | grep -c 'USB disconnect') -ge {} ] && [ -b /dev/sd? ] && [ -e /dev/input/event? ]; "
    "do sleep 0.1; done"
)
PINGS: Final = 40
FRAME_BYTES: Final = 60
ECHO_REQUEST: Final = 8
EVENT_BYTES: Final = 24
EVENTS_A_KEY: Final = 6
"""Scan code, key, SYN; down and up."""


def test_a_download_a_disk_a_keyboard_and_a_capture_go_on_behind_a_killed_broker(home: Home) -> None:
    disk, before, capture, again = (home.work / name for name in ("disk.img", "before.img", "a.pcapng", "again.pcapng"))
    for path in (disk, before):
        path.write_bytes(noise(DISK_BYTES))
    devices = ("--nic", f"user,pcap={capture}", "--usb", "kbd", "--usb", f"storage,file={disk}")
    pace = threading.Semaphore(0)
    with (
        serving(noise(FILE_BYTES), pace=pace, pieces=PIECES) as server,
        DebianSession(home, *devices, "--snapshot-every", "1s") as session,
    ):
        # What is plugged in and out must not be told on the line.
        session.do("dmesg -n 1")
        session.do(AWAIT_USB.format(0))
        session.do(DHCP)
        # passt breaks off what gets no answer for too long, as may be on a loaded host.
        fetch = f"wget -q -T 20 -O /file http://10.0.2.2:{server.port}/file"
        session.do(f"(until {fetch}; do :; done; touch /fetched) 2>/dev/null &")
        session.do(f"seq -w 1 500 | dd of=$(echo /dev/sd?) bs={SECTOR} seek={SEEK} conv=notrunc,fsync 2>/dev/null")
        await_all_said(session)
        _go_on_downloading(capture, pace)
        os.kill(home.pid_of("broker"), signal.SIGKILL)
        # Typed while there is no machine.
        assert session.do("echo word").splitlines() == ["word"]
        session.do(AWAIT_USB.format(UNPLUGGED))
        # What had been synced is there.
        assert disk.read_bytes()[SECTOR * SEEK :].startswith(LINES)
        assert hashlib.sha256(disk.read_bytes()).hexdigest() in session.do("sha256sum /dev/sd?")
        _press(home, session)
        pace.release(MOST_PIECES)
        assert server.sha256 in session.do("until [ -e /fetched ]; do sleep 0.1; done; sha256sum /file")
    recording = Recording.open(session.recording)
    assert recording.clean_end
    assert len(recording.facts.continued) == 1
    print(f"asked for the file {len(server.requests)} times")
    devices = ("--nic", f"pcap:{again}", "--usb", "kbd", "--usb", f"storage,file={before}")
    done = home.run("replay", session.recording, *devices)
    assert done.exit_code == 0, done.stderr
    assert again.read_bytes() == capture.read_bytes()
    assert before.read_bytes() == disk.read_bytes()


def test_frames_of_a_stream_are_with_the_guest_once_behind_a_killed_broker(home: Home) -> None:
    path, capture, again = (home.work / name for name in ("nic", "a.pcapng", "again.pcapng"))
    card = f"stream,addr.type=unix,addr.path={path},server=on,pcap={capture}"
    with DebianSession(home, "--nic", card, "--snapshot-every", "1s") as session, connect(path) as peer:
        session.do(address(GUEST_IP))
        peer.settimeout(DEADLINE_S)
        peer.sendall(framed(echo(0, FRAME_BYTES)))
        heard = {answer(peer)[0]}
        await_all_said(session)
        for number in range(1, PINGS):
            peer.sendall(framed(echo(number, FRAME_BYTES)))
            if number == PINGS // 2:
                os.kill(home.pid_of("broker"), signal.SIGKILL)
        while len(heard) < PINGS:
            heard.add(answer(peer)[0])
    assert len(Recording.open(session.recording).facts.continued) == 1
    arrived = [ping for packet in read_capture(capture) if (ping := Ether(packet.frame)).haslayer(ICMP)]
    assert [ping[ICMP].seq for ping in arrived if ping[ICMP].type == ECHO_REQUEST] == list(range(PINGS))
    done = home.run("replay", session.recording, "--nic", f"pcap:{again}")
    assert done.exit_code == 0, done.stderr
    assert again.read_bytes() == capture.read_bytes()


def _go_on_downloading(capture: Path, pace: threading.Semaphore) -> None:
    """Until a part of the next piece is with the guest."""
    least = capture.stat().st_size + PART_BYTES
    pace.release()
    await_size(capture, least, DEADLINE_S)


def _press(home: Home, session: DebianSession) -> None:
    """A key, which the guest has once."""
    size = EVENTS_A_KEY * EVENT_BYTES
    session.do("exec 3<$(echo /dev/input/event?); (cat <&3 >/keys &)")
    key = {"type": "qcode", "data": "a"}
    with Qmp(home) as qmp:
        for down in (True, False):
            qmp.execute("input-send-event", events=[{"type": "key", "data": {"down": down, "key": key}}])
    session.do(f"until [ $(wc -c </keys) -ge {size} ]; do sleep 0.05; done; exec 3<&-")
    assert session.do("wc -c </keys").split()[0] == str(size)
