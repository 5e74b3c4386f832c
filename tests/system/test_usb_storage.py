"""Disk images in a USB port of the Debian guest: read, written, slow, damaged, pulled out; each recording replays."""

from __future__ import annotations

import hashlib
import random
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.debian_session import DebianSession
from tests.harness.fat_image import LOAD_FAT, check_fat_image, make_fat_image, read_fat_file

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(400)]

MOUNT: Final = f"until [ -b /dev/sda ]; do sleep 0.1; done; {LOAD_FAT}; mount -t vfat /dev/sda /mnt && echo mounted"
BLOCK: Final = 512


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that no compression or page of zeros can stand for."""
    return random.Random(seed).randbytes(size)


def md5(data: bytes) -> str:
    """As the guest's md5sum says it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def numbered(size: int) -> bytes:
    """What `seq 1 SIZE` writes."""
    return "".join(f"{number}\n" for number in range(1, size + 1)).encode()


def test_files_on_a_fat_image_are_read_and_written_and_the_host_finds_them(home: Home) -> None:
    read = noise(700_000)
    image = make_fat_image(home.work / "disk.img", {"READ.BIN": read})
    before = shutil.copy(image, home.work / "before.img")
    with DebianSession(home, "--usb", f"storage,file={image}") as guest:
        assert "mounted" in guest.do(MOUNT)
        assert md5(read) in guest.do("md5sum /mnt/READ.BIN")
        guest.do("seq 1 20000 >/mnt/seq.txt; cp /mnt/READ.BIN /mnt/copy.bin; rm /mnt/READ.BIN")
        guest.do("umount /mnt")
        whole = guest.do("md5sum /dev/sda")
    check_fat_image(image)
    assert read_fat_file(image, "seq.txt") == numbered(20000)
    assert read_fat_file(image, "copy.bin") == read
    assert md5(image.read_bytes()) in whole
    # The image is needed no more; one as it was before becomes what it was at the end, write by write.
    after = image.read_bytes()
    image.unlink()
    home.verify_both_ways(guest.recording)
    done = home.run("replay", guest.recording, "--usb", f"storage,file={before}")
    assert done.exit_code == 0, done.stderr
    assert home.work.joinpath("before.img").read_bytes() == after


def test_a_slow_and_jittery_image_is_only_slow(home: Home) -> None:
    data = noise(1 << 20)
    image = home.work / "disk.img"
    image.write_bytes(data)
    with DebianSession(home, "--usb", f"storage,file={image},delay=0-50ms") as guest:
        guest.do("until [ -b /dev/sda ]; do sleep 0.1; done")
        assert md5(data) in guest.do("md5sum /dev/sda")
        guest.do("tail -c 300000 /dev/sda | dd of=/dev/sda bs=4k conv=notrunc,fsync 2>/dev/null")
    assert image.read_bytes() == data[-300_000:] + data[300_000:]
    image.unlink()
    home.verify_both_ways(guest.recording)


def test_two_disks_at_once_one_of_them_only_read(home: Home) -> None:
    first, second = (home.work / name for name in ("first.img", "second.img"))
    first.write_bytes(noise(400_000 // BLOCK * BLOCK, 1))
    second.write_bytes(noise(600_000 // BLOCK * BLOCK, 2))
    words = ("--usb", f"storage,file={first},delay=0-10ms", "--usb", f"storage,file={second},readonly=on,delay=0-10ms")
    with DebianSession(home, *words) as guest:
        guest.do("until [ -b /dev/sda ] && [ -b /dev/sdb ]; do sleep 0.1; done")
        sums = guest.do("(md5sum /dev/sda & md5sum /dev/sdb; wait) 2>&1 | cut -c 1-32")
        assert all(md5(image.read_bytes()) in sums for image in (first, second))
        read_only = guest.do("grep . /sys/block/sd*/ro")
        assert ("sda/ro:0" in read_only) != ("sdb/ro:0" in read_only)
        name = "sda" if "sda/ro:1" in read_only else "sdb"
        refused = guest.do(f"dd if=/dev/zero of=/dev/{name} bs=512 count=1 || echo refused")
        assert "refused" in refused
    home.verify_both_ways(guest.recording)
    for image in (first, second):
        image.unlink()
    home.verify_both_ways(guest.recording)


def test_an_image_that_becomes_shorter_is_a_disk_with_bad_blocks(home: Home) -> None:
    image = home.work / "disk.img"
    image.write_bytes(noise(64 * 1024))
    with DebianSession(home, "--usb", f"storage,file={image}") as guest:
        guest.do("until [ -b /dev/sda ]; do sleep 0.1; done; echo 3 >/proc/sys/vm/drop_caches")
        with image.open("r+b") as file:
            file.truncate(32 * 1024)
        told = guest.do("dd if=/dev/sda of=/tmp/x bs=4k iflag=direct || echo bro''ken; ls -l /tmp/x")
        assert "broken" in told
        assert "No data available" in told
        assert " 32768 " in told
        assert "critical medium error" in guest.do("dmesg | tail -20")
    image.unlink()
    home.verify_both_ways(guest.recording)


def test_an_image_that_is_deleted_under_way_is_a_stick_that_is_pulled_out(home: Home) -> None:
    image = home.work / "disk.img"
    image.write_bytes(noise(2 << 20))
    other = make_fat_image(home.work / "other.img", {"HELLO.TXT": b"hello from another stick\n"})
    with DebianSession(home, "--usb", "kbd", "--usb", f"storage,file={image},delay=5-20ms") as guest:
        guest.do("until [ -b /dev/sda ]; do sleep 0.1; done; echo 3 >/proc/sys/vm/drop_caches")
        guest.type("while dd if=/dev/sda of=/dev/null bs=64k iflag=direct; do :; done; echo en''ded")
        guest.until(b"records out")
        image.unlink()
        guest.until(b"ended\r\n")
        guest.until(b"/ # ")
        assert "No such file" in guest.do("sleep 1; ls /dev/sd*")
        assert "USB disconnect" in guest.do("dmesg | tail -30")
        assert guest.plug(f"kbd;storage,file={home.work}/nothing.img").startswith("usb0 port 2: cannot open image")
        assert guest.plug(f"kbd;storage,file={other}") == ""
        assert "mounted" in guest.do(MOUNT)
        assert "hello from another stick" in guest.do("cat /mnt/HELLO.TXT")
        guest.do("dd if=/dev/zero of=/mnt/z bs=64k count=20 & sleep 0.2")
        assert guest.plug("kbd") == ""
        guest.do("wait; umount /mnt; sleep 1")
        assert "No such file" in guest.do("ls /dev/sd*")
    other.unlink()
    home.verify_both_ways(guest.recording)
