"""The entropy source: virtio-rng."""

from devices.model import DeviceSpec
from devices.options import without_options
from devices.rng.model import Rng

SPEC = DeviceSpec("rng", "virtio entropy source", without_options(Rng), "none")
