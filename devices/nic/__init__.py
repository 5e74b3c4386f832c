"""The network card: virtio-net."""

from devices.model import DeviceSpec
from devices.nic.model import create_nic

SPEC = DeviceSpec("nic", "virtio network card", create_nic, "net")
