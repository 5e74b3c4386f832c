"""Everything the devices that are plugged into the controller remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from machine.bounds import U8, U16, U32, Count, Long, Within
from machine.vmstate import vmstate


@vmstate("usb-device", 1)
@dataclass(slots=True)
class DeviceState:
    """What chapter 9 of the USB specification has every device remember."""

    configuration: U8 = 0
    """bConfigurationValue as set, 0 for none."""
    halted: tuple[U8, ...] = ()
    """Addresses of endpoints that answer STALL until their halt is cleared."""
    remote_wakeup: bool = False


@vmstate("usb-keyboard", 1)
@dataclass(slots=True)
class KeyboardState:
    """A keyboard; usages are those of the HID usage table's page 7."""

    device: DeviceState
    boot_protocol: bool = False
    idle: U8 = 0
    """SET_IDLE's duration in units of 4 ms; 0 is indefinite."""
    timer: Annotated[int, Within(0, 2)] = 0
    """What the device's timer is armed for: an Await of functions/hid.py."""
    leds: U8 = 0
    pressed: tuple[U8, ...] = ()
    """Usages of the keys that are down, in the order they went down."""
    queue: Annotated[bytes, Long(unit=8)] = b""
    """Reports the host has not fetched, eight bytes each, the oldest first."""
    polled: bool = False
    """The host has asked for reports and not withdrawn."""


@vmstate("usb-mouse", 1)
@dataclass(slots=True)
class MouseState:
    """A mouse.  Movement since the last SYN_REPORT is gathered in dx, dy, wheel."""

    device: DeviceState
    boot_protocol: bool = False
    idle: U8 = 0
    timer: Annotated[int, Within(0, 2)] = 0
    """What the device's timer is armed for: an Await of functions/hid.py."""
    buttons: U8 = 0
    dx: int = 0
    dy: int = 0
    wheel: int = 0
    changed: bool = False
    """A button has changed since the last SYN_REPORT."""
    queue: tuple[tuple[int, int, int, int], ...] = ()
    """Buttons, dx, dy, wheel the host has not fetched, the oldest first; movements may be beyond one report."""


@vmstate("usb-storage", 1)
@dataclass(slots=True)
class StorageState:
    """A disk behind the Bulk-Only Transport."""

    device: DeviceState
    size: Count = 0
    """Bytes."""
    block_size: Annotated[int, Within(1)] = 512
    read_only: bool = False
    phase: Annotated[int, Within(0, 4)] = 0
    """A Phase of functions/storage.py."""
    command_tag: U32 = 0
    """dCBWTag."""
    inbound: bool = False
    """bmCBWFlags: the data stage is device to host."""
    expected: U32 = 0
    """What the host still wants moved of dCBWDataTransferLength, bytes."""
    status: U8 = 0
    """bCSWStatus to come."""
    data: bytes = b""
    """Bytes on their way: to the host, or to the image."""
    block: Count = 0
    """The next block to ask the image for, or to give it."""
    blocks: Count = 0
    """Blocks of the command not asked for, or not given, yet."""
    request: Count = 0
    """The tag of the request that the image has not completed; 0 for none."""
    asked: Count = 0
    """Bytes of that request."""
    operation: Annotated[int, Within(0, 3)] = 0
    """The StorageOperation of that request, 0 when it is nobody's business any more."""
    sense: tuple[U8, U8, U8] = (0, 0, 0)
    """Sense key, additional sense code, qualifier."""
    started: bool = True
    """START STOP UNIT: the medium turns."""
    locked: bool = False
    """PREVENT ALLOW MEDIUM REMOVAL."""


@vmstate("usb-serial", 1)
@dataclass(slots=True)
class SerialState:
    """A serial adapter of the CDC's abstract control model."""

    device: DeviceState
    line_coding: Annotated[bytes, Long(7, 7)] = bytes.fromhex("00c20100000008")
    """dwDTERate, bCharFormat, bParityType, bDataBits: 115200 8N1 at first."""
    control_lines: U16 = 0
    """SET_CONTROL_LINE_STATE: bit 0 DTR, bit 1 RTS."""
    carrier: bool = True
    received: bytes = b""
    """Bytes the host has not fetched."""
    notices: tuple[U16, ...] = ()
    """UART state bitmaps the host has not fetched."""
    blocked: bool = False
    """The backend took less than it was given; it says when it takes more."""
    dropped: Count = 0
    """Bytes that nobody took."""


@vmstate("usb-host-transfer", 1)
@dataclass(slots=True)
class HostTransfer:
    """A transfer that has been submitted to a device from outside."""

    address: U8
    """Endpoint number, with 0x80 for IN."""
    tag: Count
    length: Count
    done: bool = False
    status: int = 0
    actual: Count = 0
    data: bytes = b""


@vmstate("usb-host", 1)
@dataclass(slots=True)
class HostState:
    """A device from outside."""

    speed: Annotated[int, Within(0, 15)]
    """An xHCI speed id."""
    descriptor: bytes = b""
    configuration: bytes = b""
    transfers: tuple[HostTransfer, ...] = ()
    """At most one for each endpoint and direction."""


@vmstate("usb-socket", 1)
@dataclass(slots=True)
class SocketState:
    """One socket: at most one of the five is plugged in.  `kind` is a Kind of messages.py, 0 for nothing."""

    kind: Annotated[int, Within(0, 5)] = 0
    last_tag: Count = 0
    """The last tag given to a request; it outlives the device, so that no late completion is taken for another's."""
    keyboard: Annotated[tuple[KeyboardState, ...], Long(0, 1)] = ()
    mouse: Annotated[tuple[MouseState, ...], Long(0, 1)] = ()
    storage: Annotated[tuple[StorageState, ...], Long(0, 1)] = ()
    serial: Annotated[tuple[SerialState, ...], Long(0, 1)] = ()
    host: Annotated[tuple[HostState, ...], Long(0, 1)] = ()
