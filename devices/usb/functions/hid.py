"""What keyboard and mouse have in common: the requests of the HID class (HID 1.11, section 7) and their reports."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from devices.usb.functions import chapter9 as u
from devices.usb.functions import codes as c
from devices.usb.functions.base import ACK, BABBLE, NAK, STALL, Outcome, Verdict, Wire, reply
from devices.usb.functions.descriptors import (
    INTERRUPT,
    MANUFACTURER,
    WAKES,
    configuration,
    device,
    endpoint,
    interface,
)
from devices.usb.functions.standard import Descriptors, StandardRequests
from devices.usb.messages import What
from devices.usb.registers import SPEED_LOW
from machine.input_events import unpack_events

if TYPE_CHECKING:
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.functions.state import DeviceState
    from machine.input_events import Event

REPORT_ENDPOINT: Final = u.IN | 1
REPORT_PACKET: Final = 8
INTERVAL_MS: Final = 10
NS_PER_MS: Final = 1_000_000
IDLE_UNIT_NS: Final = 4_000_000
HID_DESCRIPTOR: Final = 0x21
REPORT_DESCRIPTOR: Final = 0x22
INPUT_REPORT: Final = 1
OUTPUT_REPORT: Final = 2


class Await(IntEnum):
    """What the timer is armed for."""

    NOTHING = 0
    INTERVAL = 1
    """The endpoint is not asked more often than its descriptor says."""
    IDLE = 2


class HidState(Protocol):
    """What both remember."""

    device: DeviceState
    boot_protocol: bool
    idle: int
    timer: int


def hid_descriptor(report: bytes) -> bytes:
    """The HID descriptor of an interface with one report descriptor (HID 1.11, 6.2.1)."""
    return struct.pack("<BBHBBBH", 9, HID_DESCRIPTOR, 0x0111, 0, 1, REPORT_DESCRIPTOR, len(report))


def hid_configuration(report: bytes, protocol: int) -> bytes:
    """The configuration of a boot interface device with one interrupt endpoint."""
    parts = (
        interface(0, 1, (3, 1, protocol)),
        hid_descriptor(report),
        endpoint(REPORT_ENDPOINT, INTERRUPT, REPORT_PACKET, INTERVAL_MS),
    )
    return configuration(parts, attributes=WAKES)


def boot_descriptors(product: int, name: str, report: bytes, protocol: int) -> Descriptors:
    """Everything that a device of the boot interface subclass tells of itself; `protocol` is 1 or 2 (HID 1.11, 4.3)."""
    return Descriptors(
        device=device(product, version=0x0110, packet=8),
        configuration=hid_configuration(report, protocol),
        strings=(MANUFACTURER, name),
        others={HID_DESCRIPTOR << 8: hid_descriptor(report), REPORT_DESCRIPTOR << 8: report},
        endpoints=(REPORT_ENDPOINT,),
    )


class Hid(StandardRequests):
    """A low-speed device with reports; `state` is the same as the subclass's."""

    speed = SPEED_LOW

    def __init__(self, state: HidState, wire: Wire) -> None:
        super().__init__(state.device, wire)
        self._hid = state

    def report(self) -> bytes:
        """What GET_REPORT and an idle period show."""
        raise NotImplementedError

    def next_report(self) -> bytes:
        """The oldest report that has not been fetched, empty if there is none."""
        raise NotImplementedError

    def report_taken(self) -> None:
        """The host has it."""
        raise NotImplementedError

    def forget_reports(self) -> None:
        """The host is not interested in what was before."""
        raise NotImplementedError

    def repeat_report(self) -> None:
        """The same report once more."""
        raise NotImplementedError

    def output_report(self, data: bytes) -> Outcome:
        """SET_REPORT."""
        return STALL

    def polled(self, now: bool) -> None:
        """The host asks for reports from now on, or does no more."""

    def event(self, event: Event) -> None:
        """An input event."""
        raise NotImplementedError

    @property
    def wakes(self) -> bool:
        """A report waits and the host has asked to be woken for it."""
        return self.device.remote_wakeup and bool(self.next_report())

    def reset(self) -> None:
        """The host knows nothing of it yet; what is pressed stays so."""
        self.device.configuration = 0
        self.device.halted = ()
        self.device.remote_wakeup = False
        self._hid.boot_protocol = False
        self._hid.idle = 0
        self.polled(False)
        self.forget_reports()

    def configured(self) -> None:
        """Reports begin now."""
        self.forget_reports()

    def unplugged(self) -> None:
        """Its timer goes with it."""
        if self._hid.timer:
            self.wire.cancel()

    def class_request(self, setup: Setup, data: bytes) -> Outcome:
        """Section 7.2."""
        if setup.kind & u.KIND_MASK != u.CLASS or setup.recipient != u.INTERFACE or setup.index:
            return STALL
        match setup.request:
            case c.HID_GET_REPORT if setup.inbound and setup.value >> 8 == INPUT_REPORT:
                return reply(self.report(), setup)
            case c.HID_GET_IDLE if setup.inbound:
                return reply(bytes((self._hid.idle,)), setup)
            case c.HID_GET_PROTOCOL if setup.inbound:
                return reply(bytes((not self._hid.boot_protocol,)), setup)
            case c.HID_SET_REPORT if setup.value >> 8 == OUTPUT_REPORT:
                return self.output_report(data)
            case c.HID_SET_IDLE:
                self._hid.idle = setup.value >> 8
                return ACK
            case c.HID_SET_PROTOCOL if setup.value in (0, 1):
                self._hid.boot_protocol = not setup.value
                return ACK
            case _:
                return STALL

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """A report, if there is one and an interval has passed since the last; an idle period may bring one."""
        if endpoint != REPORT_ENDPOINT & 0xF or self.is_halted(REPORT_ENDPOINT) or not self.device.configuration:
            return STALL
        self.polled(True)
        if self._hid.timer == Await.INTERVAL:
            return NAK
        report = self.next_report()
        if not report:
            if self._hid.idle and not self._hid.timer:
                self._arm(Await.IDLE, self._hid.idle * IDLE_UNIT_NS)
            return NAK
        if len(report) > length:
            return BABBLE
        self.report_taken()
        self._arm(Await.INTERVAL, INTERVAL_MS * NS_PER_MS)
        return Outcome(Verdict.DONE, report, last=True)

    def cancel(self, address: int) -> None:
        """The host does not ask any more."""
        if address == REPORT_ENDPOINT:
            self.polled(False)

    def expired(self) -> None:
        """An interval or an idle period is over."""
        idle, self._hid.timer = self._hid.timer == Await.IDLE, Await.NOTHING
        if idle and self._hid.idle and not self.next_report() and self.device.configuration:
            self.repeat_report()

    def _arm(self, what: Await, delay_ns: int) -> None:
        self._hid.timer = what
        self.wire.arm(delay_ns)

    def input(self, what: What, data: bytes) -> None:
        """Events from the backend."""
        if what is What.DATA:
            for event in unpack_events(data):
                self.event(event)
