"""The real-time clock: Google's goldfish RTC."""

from devices.model import DeviceSpec
from devices.options import without_options
from devices.rtc.model import Rtc

SPEC = DeviceSpec("rtc", "goldfish real-time clock with alarm", without_options(Rtc), "none")
