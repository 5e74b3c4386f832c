"""The USB host controller, an xHCI, with the devices that are plugged into it."""

from devices.model import DeviceSpec
from devices.options import without_options
from devices.usb.model import Xhci

SPEC = DeviceSpec("usb", "USB 3.0 host controller (xHCI)", without_options(Xhci), "usb")
