"""A device that cheats: its register is the host's clock, read behind the broker's back."""

from __future__ import annotations

import time

from devices.model import DeviceSpec
from devices.options import without_options
from tests.saboteurs.answering import Answering


def create() -> Answering:
    """The cheat."""
    return Answering(time.time_ns)


SPEC = DeviceSpec("clock_reader", "reads the host's clock directly", without_options(create), "none")
