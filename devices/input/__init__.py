"""Keyboard, mouse and tablet: virtio-input."""

from devices.input.model import create_input
from devices.model import DeviceSpec

SPEC = DeviceSpec("input", "virtio keyboard, mouse or tablet", create_input, "input")
