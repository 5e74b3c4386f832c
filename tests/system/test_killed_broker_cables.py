"""A broker that is killed under Debian while a tap and a device of a USB/IP server are in use, and a key is held."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.debian_session import DebianSession
from tests.harness.killing import await_all_said, await_size, kill_node
from tests.harness.machine import Home
from tests.harness.monitor import Qmp
from tests.harness.net_guest import address
from tests.harness.net_http import noise, serving
from tests.harness.net_namespace import ip, run_alone
from tests.harness.net_peer import GUEST_IP, PEER_IP
from tests.harness.usbip_server import HOST, make_disk
from tests.harness.usbip_server import serving as usbip_serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

LONG_S: Final = 280.0
FILE_BYTES: Final = 1_000_000
PART_BYTES: Final = 100_000
PIECES: Final = 2
DISK_BYTES: Final = 1 << 20
DEADLINE_S: Final = 60.0
KEY_A_UP: Final = "0001 001e 0000 0000"
"""EV_KEY, KEY_A, up, in a struct input_event behind its time."""
READ_ON: Final = (
    "while dd if=$(echo /dev/sd?) of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done; touch /pulled-out"
)
PLUGGED_AGAIN: Final = "[ -e /pulled-out ] && [ -b /dev/sd? ] && [ -e /dev/input/event? ]"
KEYBOARD: Final = "/dev/input/event0"


def test_a_tap_a_usbip_disk_and_a_held_key_behind_a_killed_broker() -> None:
    run_alone(killed_with_cables, timeout_s=LONG_S)


def killed_with_cables() -> None:
    """In a network of its own: the interface is the host's, and so is the server of the disk."""
    ip("tuntap", "add", "dev", "tap0", "mode", "tap")
    ip("addr", "add", f"{PEER_IP}/24", "dev", "tap0")
    ip("link", "set", "tap0", "up")
    home = Home()
    try:
        image = home.work / "disk.img"
        image.write_bytes(random.Random(1).randbytes(DISK_BYTES))
        with usbip_serving(make_disk(image)) as port:
            recording = _recorded(home, f"usbip,host={HOST},port={port},busid=1-1")
        # Neither is there any more.
        ip("link", "del", "tap0")
        home.verify(recording)
        done = home.run("replay", recording, "--nic", f"pcap:{home.work}/again.pcapng")
        assert done.exit_code == 0, done.stderr
        assert (home.work / "again.pcapng").read_bytes() == (home.work / "a.pcapng").read_bytes()
        assert home.left_behind() == []
        home.remove()
    finally:
        home.end()


def _recorded(home: Home, disk: str) -> Path:
    """A file comes over the tap in two pieces, the disk is read, a key is held; in the middle the broker dies."""
    capture = home.work / "a.pcapng"
    devices = ("--nic", f"tap,ifname=tap0,script=no,pcap={capture}", "--usb", disk)
    pace = threading.Semaphore(0)
    with (
        serving(noise(FILE_BYTES), pace=pace, pieces=PIECES, host=PEER_IP) as server,
        DebianSession(home, *devices, "--snapshot-every", "1s") as session,
    ):
        session.do(f"dmesg -n 1; {address(GUEST_IP)}; until [ -b /dev/sda ]; do sleep 0.1; done")
        # Plugged in while the machine runs.
        assert session.plug(f"{disk};kbd") == ""
        session.do(f"until [ -e {KEYBOARD} ]; do sleep 0.1; done")
        session.do(f"(cat {KEYBOARD} >/keys; touch /unplugged) 2>/dev/null &")
        session.do(f"(wget -q -O /file http://{PEER_IP}:{server.port}/file; touch /fetched) &")
        session.do(f"({READ_ON}) &")
        _hold_a(home)
        session.do("until [ -s /keys ]; do sleep 0.05; done")
        await_all_said(session)
        least = capture.stat().st_size + PART_BYTES
        pace.release()
        await_size(capture, least, DEADLINE_S)
        os.kill(home.pid_of("broker"), signal.SIGKILL)
        # Jobs that have ended are told beside it.
        assert "word" in session.do("echo word").splitlines()
        # The disk and the keyboard were pulled out, so that nobody holds the key; both are there again.
        session.do(f"until [ -e /unplugged ] && {PLUGGED_AGAIN}; do sleep 0.1; done")
        assert KEY_A_UP in session.do('tail -c 48 /keys | hexdump -v -e \'8/2 "%04x " "\\n"\'')
        assert hashlib.sha256((home.work / "disk.img").read_bytes()).hexdigest() in session.do("sha256sum /dev/sd?")
        _kill_devices(home, session)
        pace.release()
        assert server.sha256 in session.do("until [ -e /fetched ]; do sleep 0.1; done; sha256sum /file")
        # The connection has lasted.
        assert server.requests == ["/file"]
    found = Recording.open(session.recording)
    assert found.clean_end
    assert len(found.facts.continued) == 1
    return session.recording


def _kill_devices(home: Home, session: DebianSession) -> None:
    """The same behind the devices' own processes."""
    session.do(f"rm /pulled-out; ({READ_ON}) &")
    with Qmp(home) as qmp:
        for node in ("usb0", "nic0"):
            kill_node(home, qmp, node)
    session.do(f"until {PLUGGED_AGAIN}; do sleep 0.1; done")


def _hold_a(home: Home) -> None:
    key = {"type": "qcode", "data": "a"}
    with Qmp(home) as qmp:
        qmp.execute("input-send-event", events=[{"type": "key", "data": {"down": True, "key": key}}])
