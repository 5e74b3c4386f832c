"""Chapter 9's standard requests, answered from tables of descriptors, for the devices that are made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.usb.functions import chapter9 as u
from devices.usb.functions.base import ACK, STALL, Outcome, Wire, reply
from devices.usb.functions.descriptors import SERIAL_STRING

if TYPE_CHECKING:
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.functions.state import DeviceState

LANGUAGE: Final = b"\x09\x04"
"""English (United States), the only one strings are in."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a device answers GET_DESCRIPTOR with."""

    device: bytes
    configuration: bytes
    strings: tuple[str, ...]
    """From string index 1 on."""
    others: Mapping[int, bytes]
    """By wValue: those that only some have."""
    endpoints: tuple[int, ...]
    """Addresses of its endpoints but the default one."""
    interfaces: int = 1
    self_powered: bool = False

    def find(self, value: int) -> bytes | None:
        """The descriptor of a type (upper byte) and index (lower byte)."""
        kind, index = value >> 8, value & 0xFF
        match kind:
            case u.DEVICE_DESCRIPTOR if not index:
                return self.device
            case u.CONFIGURATION_DESCRIPTOR if not index:
                return self.configuration
            case u.STRING_DESCRIPTOR if not index:
                return bytes((4, u.STRING_DESCRIPTOR)) + LANGUAGE
            case u.STRING_DESCRIPTOR if index <= len(self.strings):
                return string(self.strings[index - 1])
            case _:
                return self.others.get(value)


class StandardRequests:
    """Chapter 9 for devices that are made here; classes add their own requests in `class_request`."""

    descriptors: Descriptors

    def __init__(self, device: DeviceState, wire: Wire) -> None:
        self.device = device
        self.wire = wire

    @property
    def wakes(self) -> bool:
        """As the host has allowed."""
        return False

    def control(self, setup: Setup, data: bytes) -> Outcome:
        """A request: standard ones here, the rest is the class's."""
        if setup.kind & u.KIND_MASK != u.STANDARD:
            return self.class_request(setup, data)
        match setup.recipient:
            case u.DEVICE:
                return self._device_request(setup)
            case u.INTERFACE:
                return self._interface_request(setup)
            case u.ENDPOINT:
                return self._endpoint_request(setup)
            case _:
                return STALL

    def class_request(self, setup: Setup, data: bytes) -> Outcome:
        """A request of the class; there are none here."""
        return STALL

    def configured(self) -> None:
        """SET_CONFIGURATION or SET_INTERFACE: endpoints begin anew."""

    def unhalted(self, address: int) -> None:
        """The host has cleared an endpoint's halt."""

    def halt(self, address: int) -> Outcome:
        """Make an endpoint answer STALL from now on."""
        if address not in self.device.halted:
            self.device.halted = (*self.device.halted, address)
        return STALL

    def is_halted(self, address: int) -> bool:
        """Whether it does."""
        return address in self.device.halted

    def send(self, endpoint: int, data: bytes) -> Outcome:
        """No OUT endpoint."""
        return STALL

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """No IN endpoint."""
        return STALL

    def cancel(self, address: int) -> None:
        """Nothing is under way."""

    def unplugged(self) -> None:
        """Nothing is left behind."""

    def expired(self) -> None:
        """No timer."""

    def _device_request(self, setup: Setup) -> Outcome:
        match setup.request:
            case u.GET_STATUS if setup.inbound:
                status = int(self.descriptors.self_powered) | self.device.remote_wakeup << 1
                return reply(status.to_bytes(2, "little"), setup)
            case u.CLEAR_FEATURE | u.SET_FEATURE:
                return self._device_feature(setup, setup.request == u.SET_FEATURE)
            case u.GET_DESCRIPTOR if setup.inbound:
                return self._descriptor(setup)
            case u.GET_CONFIGURATION if setup.inbound:
                return reply(bytes((self.device.configuration,)), setup)
            case u.SET_CONFIGURATION if setup.value in (0, 1):
                self.device.configuration = setup.value
                self.device.halted = ()
                self.configured()
                return ACK
            case u.SET_SEL | u.SET_ISOCH_DELAY:
                # SET_SEL, SET_ISOCH_DELAY: exit latencies and delays of links that have none here.
                return ACK
            case _:
                return STALL

    def _descriptor(self, setup: Setup) -> Outcome:
        """Its own; the serial number's string is its socket, so that no two are alike."""
        if setup.value == u.STRING_DESCRIPTOR << 8 | SERIAL_STRING:
            found: bytes | None = string(f"{self.wire.port:012d}")
        else:
            found = self.descriptors.find(setup.value)
        return STALL if found is None else reply(found, setup)

    def _device_feature(self, setup: Setup, on: bool) -> Outcome:
        match setup.value:
            case u.REMOTE_WAKEUP:
                self.device.remote_wakeup = on
                return ACK
            case u.U1_ENABLE | u.U2_ENABLE if self.device.configuration:
                return ACK
            case _:
                return STALL

    def _interface_request(self, setup: Setup) -> Outcome:
        if setup.index & 0xFF >= self.descriptors.interfaces:
            return STALL
        match setup.request:
            case u.GET_STATUS if setup.inbound:
                return reply(bytes(2), setup)
            case u.CLEAR_FEATURE | u.SET_FEATURE if setup.value == u.FUNCTION_SUSPEND:
                return ACK
            case u.GET_DESCRIPTOR if setup.inbound:
                found = self.descriptors.others.get(setup.value)
                return STALL if found is None else reply(found, setup)
            case u.GET_INTERFACE if self.device.configuration:
                return reply(bytes(1), setup)
            case u.SET_INTERFACE if self.device.configuration and not setup.value:
                self.device.halted = ()
                self.configured()
                return ACK
            case _:
                return STALL

    def _endpoint_request(self, setup: Setup) -> Outcome:
        address = setup.index & (u.IN | 0xF)
        if address & 0xF and (not self.device.configuration or address not in self.descriptors.endpoints):
            return STALL
        match setup.request:
            case u.GET_STATUS if setup.inbound:
                return reply(bytes((self.is_halted(address), 0)), setup)
            case u.CLEAR_FEATURE if setup.value == u.ENDPOINT_HALT:
                self.device.halted = tuple(a for a in self.device.halted if a != address)
                self.unhalted(address)
                return ACK
            case u.SET_FEATURE if setup.value == u.ENDPOINT_HALT:
                if address & 0xF:
                    self.halt(address)
                return ACK
            case _:
                return STALL


def string(text: str) -> bytes:
    """A string descriptor."""
    data = text.encode("utf-16-le")
    return bytes((len(data) + 2, u.STRING_DESCRIPTOR)) + data
