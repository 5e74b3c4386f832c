"""A device that cheats without meaning to: its register follows the order of a set of strings.

Python shuffles that order with PYTHONHASHSEED, so the device is the same only among equal seeds.
"""

from __future__ import annotations

import zlib

from devices.model import DeviceSpec
from devices.options import without_options
from tests.saboteurs.answering import Answering

NAMES = frozenset(f"register-{number}" for number in range(32))


def order() -> int:
    """A checksum of the names in the order the set gives them."""
    return zlib.crc32(",".join(NAMES).encode())


def create() -> Answering:
    """The cheat."""
    return Answering(order)


SPEC = DeviceSpec("set_order", "answers from the order of a set", without_options(create), "none")
