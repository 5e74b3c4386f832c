"""A USB/IP server of somebody else's making (the `usbip` package), with emulated devices for tests.

Lives here: the devices, served in threads of this process or, as `python -m tests.harness.usbip_server`, by a
process of its own that can be killed.
Never here: our client.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from usbip import SPEED_FULL, SPEED_HIGH, In, Interface, Out, Stall, USBDevice
from usbip.classes.device.cdc_acm import CDCACM
from usbip.classes.device.hid import HID, keyboard_report_descriptor
from usbip.classes.device.msc import MSC
from usbip.transport import USBIP

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST: Final = "127.0.0.1"
VENDOR: Final = 0x1209
BLOCK_BYTES: Final = 512
FAIL_REQUEST: Final = 0x7F
"""A vendor's request that the loopback device stalls; every other one it answers with wLength times 0xA5."""


class Loopback(Interface):  # type: ignore[misc]  # the package has no types
    """A vendor's device that sends back what it is sent, in the same pieces."""

    bInterfaceClass = 0xFF
    bulk_out = Out(0x01, "bulk", mps=512)
    bulk_in = In(0x82, "bulk", mps=512)
    interrupt_in = In(0x83, "interrupt", mps=8, interval=4)
    isochronous_in = In(0x84, "iso", mps=64, interval=1)

    def on_out(self, ep: Any, data: bytes) -> None:
        """Send it back."""
        self.bulk_in.write(data)

    def on_control(self, setup: Any, data: bytes = b"") -> bytes:
        """Answer a vendor's requests."""
        if setup.bRequest == FAIL_REQUEST:
            raise Stall
        return b"\xa5" * int(setup.wLength)


class FileStore:
    """The blocks of a disk, in a file."""

    block_size = BLOCK_BYTES

    def __init__(self, path: Path) -> None:
        self._path = path
        self.num_blocks = path.stat().st_size // BLOCK_BYTES

    def read(self, first: int, count: int) -> bytes:
        """Whole blocks."""
        with self._path.open("rb") as file:
            file.seek(first * BLOCK_BYTES)
            return file.read(count * BLOCK_BYTES)

    def write(self, first: int, _count: int, data: bytes) -> None:
        """Whole blocks."""
        with self._path.open("r+b") as file:
            file.seek(first * BLOCK_BYTES)
            file.write(data)


def make_loopback() -> tuple[USBDevice, Loopback]:
    """A loopback device and what it is made of."""
    device = USBDevice(VENDOR, 0x0004, manufacturer="dejavm", product="Loopback", serial="1")
    device.set_speed(SPEED_HIGH)
    return device, device.add(Loopback())


def make_disk(path: Path) -> USBDevice:
    """A disk whose blocks are in a file."""
    device = USBDevice(VENDOR, 0x0005, manufacturer="dejavm", product="Disk", serial="2")
    device.set_speed(SPEED_HIGH)
    device.add(MSC(FileStore(path)))
    return device


def make_echo() -> USBDevice:
    """A serial adapter that sends back what it is sent."""
    device = USBDevice(VENDOR, 0x0006, manufacturer="dejavm", product="Echo", serial="3")
    device.set_speed(SPEED_HIGH)
    device.add(CDCACM())
    return device


def make_keyboard() -> tuple[USBDevice, HID]:
    """A keyboard and where its keys are pressed."""
    device = USBDevice(VENDOR, 0x0007, manufacturer="dejavm", product="Keyboard", serial="4")
    device.set_speed(SPEED_FULL)
    return device, device.add(HID(keyboard_report_descriptor(), subclass=1, protocol=1, in_mps=8))


def tap(keyboard: HID, usage: int) -> None:
    """A key goes down and up."""
    keyboard.send_report(bytes((0, 0, usage, 0, 0, 0, 0, 0)))
    keyboard.send_report(bytes(8))


@contextmanager
def serving(*devices: USBDevice) -> Iterator[int]:
    """Serve devices 1-1, 1-2, ... in this process; the TCP port."""
    transport = USBIP(HOST, 0)
    for device in devices:
        device.plug(via=transport)
    try:
        yield transport._listener.socks[0].getsockname()[1]
    finally:
        for device in devices:
            device.unplug()


def main(argv: list[str]) -> int:
    """Serve `disk=PATH`, `echo`, `keyboard`: says the port; a line `USAGE` on standard input taps that key."""
    devices: list[USBDevice] = []
    keyboard: HID | None = None
    for word in argv:
        kind, _, path = word.partition("=")
        match kind:
            case "disk":
                devices.append(make_disk(Path(path)))
            case "echo":
                devices.append(make_echo())
            case "keyboard":
                device, keyboard = make_keyboard()
                devices.append(device)
            case _:
                raise SystemExit(f"no device {word}")
    with serving(*devices) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            assert keyboard is not None
            tap(keyboard, int(line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
