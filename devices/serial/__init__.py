"""The serial line: a 16550A with FIFOs and interrupts."""

from devices.model import DeviceSpec
from devices.serial.model import Serial

SPEC = DeviceSpec("serial", "16550A serial line with FIFOs", Serial, "char")
