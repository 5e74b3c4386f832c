"""Devices of a USB/IP server in the Debian guest: found, used, lost; each recording replays without the server."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from tests.harness.debian_session import DebianSession
from tests.harness.fat_image import LOAD_FAT, check_fat_image, make_fat_image, read_fat_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(400)]

HOST = "127.0.0.1"
KEY_B = 5
"""HID usage of the key B (HID usage tables, keyboard page)."""


class Server:
    """A process that serves devices (tests/harness/usbip_server.py); `port` is its TCP port."""

    def __init__(self, home: Home, *devices: str) -> None:
        argv = [sys.executable, "-P", "-m", "tests.harness.usbip_server", *devices]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, cwd=home.work, env=home.environment(), stdin=pipe, stdout=pipe)
        self.port = int(self._stream(self._process.stdout).readline())

    def word(self, busid: str) -> str:
        """What is plugged in with --usb."""
        return f"usbip,host={HOST},port={self.port},busid={busid}"

    def tap(self, usage: int) -> None:
        """Have the keyboard's key tapped."""
        keys = self._stream(self._process.stdin)
        keys.write(f"{usage}\n".encode())
        keys.flush()

    def kill(self) -> None:
        """End it as a power failure would."""
        self._process.kill()
        self._process.communicate()

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream


@contextmanager
def serving(home: Home, *devices: str) -> Iterator[Server]:
    """A server for the length of a recording; it is gone before anything is replayed."""
    server = Server(home, *devices)
    try:
        yield server
    finally:
        server.kill()


def test_a_disk_of_another_host_is_mounted_and_written_to(home: Home) -> None:
    read = random.Random(1).randbytes(100_000)
    image = make_fat_image(home.work / "disk.img", {"READ.BIN": read})
    with serving(home, f"disk={image}") as server, DebianSession(home, "--usb", server.word("1-1")) as guest:
        guest.do(f"until [ -b /dev/sda ]; do sleep 0.1; done; {LOAD_FAT}; mount -t vfat /dev/sda /mnt")
        assert hashlib.md5(read, usedforsecurity=False).hexdigest() in guest.do("md5sum /mnt/READ.BIN")
        guest.do("cp /mnt/READ.BIN /mnt/copy.bin; umount /mnt")
        assert "1209/5/100" in guest.do("cat /sys/bus/usb/devices/*-1/uevent | grep PRODUCT")
    check_fat_image(image)
    assert read_fat_file(image, "copy.bin") == read
    image.unlink()
    home.verify_both_ways(guest.recording)


def test_a_keyboard_and_a_serial_adapter_of_another_host(home: Home) -> None:
    with serving(home, "keyboard", "echo") as server:
        words = ("--usb", server.word("1-1"), "--usb", server.word("1-2"))
        with DebianSession(home, *words) as guest:
            guest.do("until [ -e /dev/input/event0 ] && [ -c /dev/ttyACM0 ]; do sleep 0.1; done")
            assert "Loopback" not in guest.do("cat /sys/bus/usb/devices/*/product")
            guest.do("stty -F /dev/ttyACM0 raw -echo; exec 3<>/dev/ttyACM0; echo over the network >&3")
            assert "over the network" in guest.do("head -n 1 <&3")
            # Events count from when the device is opened.
            guest.do("exec 4</dev/input/event0")
            guest.type("echo rea''dy; head -c 96 <&4 | hexdump -v -e '8/2 \"%04x \" \"\\n\"'")
            guest.until(b"ready\r\n")
            server.tap(KEY_B)
            events = guest.until(b"/ # ").decode()
            # EV_KEY, KEY_B down; behind the time that the guest's clock says.
            assert "0001 0030 0001 0000" in events
    home.verify_both_ways(guest.recording)


def test_a_server_that_dies_under_way_is_a_device_that_is_pulled_out(home: Home) -> None:
    image = home.work / "disk.img"
    image.write_bytes(random.Random(2).randbytes(1 << 20))
    with serving(home, f"disk={image}") as server, DebianSession(home, "--usb", server.word("1-1")) as guest:
        guest.do("until [ -b /dev/sda ]; do sleep 0.1; done; echo 3 >/proc/sys/vm/drop_caches")
        guest.type("echo rea''ding; while dd if=/dev/sda of=/dev/null bs=64k iflag=direct; do :; done; echo en''ded")
        guest.until(b"reading\r\n")
        guest.until(b"records out")
        server.kill()
        guest.until(b"ended\r\n")
        guest.until(b"/ # ")
        assert "USB disconnect" in guest.do("sleep 0.5; dmesg | tail -30")
        again = Server(home, f"disk={image}")
        assert guest.plug(again.word("1-1")) == ""
        guest.do("until [ -b /dev/sda ] || [ -b /dev/sdb ]; do sleep 0.1; done")
        again.kill()
        guest.do("sleep 0.5")
    home.verify_both_ways(guest.recording)
