"""Every device there is, in one table; a device from outside is named by where it is found."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Final

from devices.model import DeviceSpec
from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.board import DeviceSlot

DEVICES: Final[Mapping[str, str]] = {
    "serial": "devices.serial",
    "rtc": "devices.rtc",
    "rng": "devices.rng",
    "nic": "devices.nic",
    "input": "devices.input",
    "usb": "devices.usb",
}
"""Kind on the board -> module whose SPEC is the device; a process imports only its own."""

SPEC_NAME: Final = "SPEC"


def spec_of(kind: str) -> DeviceSpec:
    """The device of a row of DEVICES."""
    spec: DeviceSpec = getattr(importlib.import_module(DEVICES[kind]), SPEC_NAME)
    return spec


def find_device(slot: DeviceSlot) -> DeviceSpec:
    """A slot's device: a kind of DEVICES, or `package.module:NAME` of a DeviceSpec.  BoardError if there is none."""
    if slot.kind in DEVICES:
        return spec_of(slot.kind)
    where = f"device.{slot.name}.kind"
    module_name, colon, name = slot.kind.partition(":")
    if not (module_name and colon and name):
        known = ", ".join(sorted(DEVICES))
        raise BoardError(f"{where}: unknown device {slot.kind!r} (known: {known}, or package.module:NAME)")
    # A recording may be anybody's, and names what is imported: importing some of Python's own modules does things.
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise BoardError(f"{where}: {slot.kind}: a module of Python's own has no device")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BoardError(f"{where}: cannot import {slot.kind}: {error}") from error
    if not isinstance(found, DeviceSpec):
        raise BoardError(f"{where}: {slot.kind} is a {type(found).__name__}, not a DeviceSpec")
    return found
