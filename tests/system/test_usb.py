"""The USB controller under the stock Debian kernel: every device is driven, plugged, suspended, reset, and replayed."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Final

import pytest

from devices.usb.functions.usages import USAGES
from machine.input_events import BTN_LEFT, EV_KEY, EV_LED, EV_REL, REL_WHEEL, REL_X, REL_Y, Event
from machine.keycodes import QCODES
from tests.harness.debian_session import DEADLINE_S, POWER_KEY_UNHEEDED, DebianSession
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

EVENT_BYTES: Final = 24
"""struct input_event of a 64-bit guest."""
EV_MSC: Final = 4
REL_WHEEL_HI_RES: Final = 11
EXTRAS: Final = ((EV_MSC, None), (EV_LED, None), (EV_REL, REL_WHEEL_HI_RES))
"""What Linux adds to an event of a HID device."""
A, SHIFT = 30, 42
KEYS_AT_ONCE: Final = 40
REPEAT: Final = (EV_KEY, 2)
BUS: Final = "/sys/bus/usb/devices"
DRIVER: Final = "/sys/bus/platform/drivers/xhci-hcd"


def session(home: Home, *words: str) -> DebianSession:
    """The guest with these in its USB ports, its kernel's messages off the console."""
    quiet = ("--append", "console=ttyS0 earlycon=sbi loglevel=1")
    return DebianSession(home, *quiet, *(part for word in words for part in ("--usb", word)))


def wait_for(guest: DebianSession, *paths: str) -> None:
    """Until the guest has these files."""
    for path in paths:
        guest.do(f"until [ -e {path} ]; do sleep 0.05; done")


class Watched:
    """What an event device of the guest's reports, kept in a file there."""

    def __init__(self, guest: DebianSession, number: int) -> None:
        self._guest, self._number = guest, number
        self._words: list[int] = []
        wait_for(guest, f"/dev/input/event{number}")
        said = guest.do(f"exec {number + 3}</dev/input/event{number}; cat <&{number + 3} >/tmp/{number} &")
        assert "can't open" not in said, said

    def reported(self, count: int) -> list[Event]:
        """The first `count` events that it has reported, ends of groups and Linux's own left out."""
        while True:
            self._read_on()
            rows = [self._words[at + 8 : at + 12] for at in range(0, len(self._words) - 11, EVENT_BYTES // 2)]
            # Linux repeats a key that is held while the host is slow.
            rows = [row for row in rows if row[0] and (row[0], row[2]) != REPEAT]
            events = [Event(row[0], row[1], row[2] | row[3] << 16) for row in rows]
            signed = [event._replace(value=event.value - (event.value >> 31 << 32)) for event in events]
            found = [e for e in signed if (e.type, None) not in EXTRAS and (e.type, e.code) not in EXTRAS]
            if len(found) >= count:
                assert len(found) == count, found[count:]
                return found

    def _read_on(self) -> None:
        """From behind what is known: a byte that is printed takes longer than an event."""
        behind = f"-j {2 * len(self._words)} /tmp/{self._number}"
        lines = re.findall(r"^[ \d]+$", self._guest.do(f"sleep 0.5; od -v -A n -t u2 {behind}"), re.MULTILINE)
        self._words += (int(word) for line in lines for word in line.split())


def key(code: int, *, down: bool) -> dict[str, object]:
    """A key event of QMP's."""
    name = next(name for name, number in QCODES.items() if number == code)
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


def press(client: Qmp, code: int) -> None:
    """A key down and up."""
    client.execute("input-send-event", events=[key(code, down=True)])
    client.execute("input-send-event", events=[key(code, down=False)])


def presses(*codes: int) -> list[Event]:
    """What evdev reports of that."""
    return [Event(EV_KEY, code, value) for code in codes for value in (1, 0)]


def test_every_device_finds_its_driver_at_its_speed(home: Home) -> None:
    image = home.work / "disk.img"
    image.write_bytes(b"first block".ljust(512, b".") * 64)
    other = home.work / "other.img"
    other.write_bytes(bytes(1 << 16))
    words = ("kbd", "mouse", f"storage,file={image}", "none", "serial,null", f"storage,file={other},readonly=on")
    with session(home, *words) as guest:
        wait_for(guest, "/dev/input/event1", "/dev/sda", "/dev/sdb", "/dev/ttyACM0")
        said = guest.do("for d in /sys/bus/usb/drivers/[hcu]*/*:1.?; do echo at $d; done")
        places = [line.split("/")[-2:] for line in said.splitlines() if line.startswith("at ")]
        drivers = {device: driver for driver, device in places}
        assert drivers == {
            "1-0:1.0": "hub",
            "1-1:1.0": "usbhid",
            "1-2:1.0": "usbhid",
            "1-5:1.0": "cdc_acm",
            "1-5:1.1": "cdc_acm",
            "2-0:1.0": "hub",
            "2-3:1.0": "usb-storage",
            "2-6:1.0": "usb-storage",
        }
        assert guest.do(f"cat {BUS}/1-1/speed {BUS}/1-5/speed {BUS}/2-3/speed").split()[-3:] == ["1.5", "480", "5000"]
        assert "first block" in guest.do("head -c 11 /dev/sda; echo")
        assert guest.do("dmesg | grep -i -E 'xhci.*(error|warn|fail|timeout)' | wc -l").split()[-1] == "0"
    home.verify_both_ways(guest.recording)


def test_every_key_of_the_usb_keyboard_is_the_key_that_was_pressed(home: Home) -> None:
    known = set(QCODES.values())
    codes = [code for code in USAGES if code in known]
    assert len(codes) > 100
    with session(home, "kbd", "mouse") as guest:
        guest.do(POWER_KEY_UNHEEDED)
        keyboard, mouse = Watched(guest, 0), Watched(guest, 1)
        with Qmp(home) as client:
            # What is sent at once comes at once, and a keyboard holds only so much that nobody has fetched.
            for start in range(0, len(codes), KEYS_AT_ONCE):
                for code in codes[start : start + KEYS_AT_ONCE]:
                    press(client, code)
                keyboard.reported(2 * len(codes[: start + KEYS_AT_ONCE]))
            rel = [{"type": "rel", "data": {"axis": axis, "value": value}} for axis, value in (("x", 300), ("y", -7))]
            client.execute("input-send-event", events=rel)
            for down in (True, False):
                for button in ("left", "wheel-up"):
                    event = {"type": "btn", "data": {"down": down, "button": button}}
                    client.execute("input-send-event", events=[event])
        assert keyboard.reported(2 * len(codes)) == presses(*codes)
        moves = [(REL_X, 127), (REL_Y, -7), (REL_X, 127), (REL_X, 46)]
        expected = [Event(EV_REL, code, value) for code, value in moves]
        clicks = [Event(EV_KEY, BTN_LEFT, 1), Event(EV_REL, REL_WHEEL, 1), Event(EV_KEY, BTN_LEFT, 0)]
        assert mouse.reported(7) == [*expected, *clicks]
    home.verify_both_ways(guest.recording)


def test_a_key_wakes_a_keyboard_that_the_guest_has_suspended(home: Home) -> None:
    with session(home, "kbd") as guest:
        keyboard = Watched(guest, 0)
        power = f"{BUS}/1-1/power"
        guest.do(f"echo 300 >{power}/autosuspend_delay_ms; echo auto >{power}/control")
        guest.do(f"until grep -q suspended {power}/runtime_status; do sleep 0.05; done")
        with Qmp(home) as client:
            press(client, A)
        assert keyboard.reported(2) == presses(A)
        guest.do(f"echo on >{power}/control; until grep -q active {power}/runtime_status; do sleep 0.05; done")
        with Qmp(home) as client:
            press(client, SHIFT)
        assert keyboard.reported(4) == presses(A, SHIFT)
    home.verify_both_ways(guest.recording)


def connect(path: Path) -> socket.socket:
    """The other end of a serial line that listens."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(DEADLINE_S)
    peer.connect(str(path))
    return peer


def test_a_serial_adapter_carries_64_kib_both_ways_and_hangs_up(home: Home) -> None:
    path = home.work / "acm"
    data = bytes(range(256)) * 256
    with session(home, f"serial,unix:{path},server=on,wait=off") as guest:
        wait_for(guest, "/dev/ttyACM0")
        with connect(path) as peer:
            guest.do("exec 3<>/dev/ttyACM0; stty raw -echo <&3; echo ready >&3")
            assert peer.recv(6) == b"ready\n"
            guest.type(f"head -c {len(data)} <&3 >/tmp/came && cat /tmp/came >&3 && md5sum /tmp/came")
            peer.sendall(data)
            back = b""
            while len(back) < len(data):
                back += peer.recv(1 << 16)
            assert back == data
            guest.until(b"/tmp/came\r\n")
            guest.until(b"/ # ")
            guest.type("stty -clocal <&3; echo wai''ting; cat <&3; echo hung u''p")
            guest.until(b"waiting")
        guest.until(b"hung up")
        guest.until(b"/ # ")
        guest.do("exec 3>&-")
    home.verify_both_ways(guest.recording)


def test_devices_come_and_go_while_they_are_used(home: Home) -> None:
    path = home.work / "acm"
    with session(home, "kbd", f"serial,unix:{path},server=on,wait=off") as guest:
        wait_for(guest, "/dev/ttyACM0", "/dev/input/event0")
        guest.type("cat /dev/ttyACM0; cat /dev/input/event0 >/dev/null; echo both go''ne")
        for words in ("kbd", "none"):
            assert guest.plug(words) == ""
        guest.until(b"both gone\r\n")
        guest.until(b"/ # ")
        guest.do(f"until [ $(ls {BUS} | wc -l) = 4 ]; do sleep 0.05; done")
        assert guest.plug("mouse;none;kbd") == ""
        # The driver is named before it has made its input device.
        for port, name in ((1, "USB Mouse"), (3, "USB Keyboard")):
            wait_for(guest, f"{BUS}/1-{port}:1.0/driver")
            guest.do(f"until grep -q '{name}' /sys/class/input/event*/device/name; do sleep 0.05; done")
    home.verify_both_ways(guest.recording)


def test_the_driver_can_be_taken_off_and_put_back(home: Home) -> None:
    image = home.work / "disk.img"
    image.write_bytes(b"still here".ljust(1 << 16, b"."))
    with session(home, f"storage,file={image}", "kbd") as guest:
        wait_for(guest, "/dev/sda", "/dev/input/event0")
        guest.do(f"basename {DRIVER}/*.usb >/tmp/name; cat /tmp/name >{DRIVER}/unbind")
        assert "No such file" in guest.do("ls /dev/sda")
        guest.do(f"cat /tmp/name >{DRIVER}/bind")
        wait_for(guest, "/dev/sda", "/dev/input/event0")
        assert "still here" in guest.do("head -c 10 /dev/sda; echo")
        guest.do(f"echo 0 >{BUS}/2-1/authorized; until [ ! -e /dev/sda ]; do sleep 0.05; done")
        guest.do(f"echo 1 >{BUS}/2-1/authorized")
        wait_for(guest, "/dev/sda")
        assert "still here" in guest.do("head -c 10 /dev/sda; echo")
    image.unlink()
    home.verify_both_ways(guest.recording)
