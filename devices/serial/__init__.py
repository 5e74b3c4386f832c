"""The serial line: a 16550A with FIFOs and interrupts."""

from devices.model import DeviceSpec
from devices.options import without_options
from devices.serial.model import Serial

SPEC = DeviceSpec("serial", "16550A serial line with FIFOs", without_options(Serial), "char")
