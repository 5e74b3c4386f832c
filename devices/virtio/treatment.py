"""How the CPU node is to treat the transport's registers.

What is read often is answered from copies.  What sets a queue up is gathered, since only a call can show its effect.
QueueNotify is gathered too: what the driver makes available behind it is found with it, in one message; a driver that
waits for the answer sleeps, which tells everything at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.virtio import registers as r
from machine.message import ReadKind, Register, WriteKind

if TYPE_CHECKING:
    from collections.abc import Iterator

_GATHERED: Final = (
    r.DEVICE_FEATURES_SEL, r.DRIVER_FEATURES, r.DRIVER_FEATURES_SEL, r.QUEUE_SEL, r.QUEUE_NUM, r.QUEUE_READY,
    r.QUEUE_NOTIFY, r.QUEUE_DESC_LOW, r.QUEUE_DESC_HIGH, r.QUEUE_DRIVER_LOW, r.QUEUE_DRIVER_HIGH, r.QUEUE_DEVICE_LOW,
    r.QUEUE_DEVICE_HIGH,
)  # fmt: skip
WIDEST: Final = 8
"""Bytes of the widest load."""


def fixed_rows(device_id: int) -> list[Register]:
    """What never changes."""
    constants = {
        r.MAGIC_VALUE: r.MAGIC,
        r.VERSION: r.MMIO_VERSION,
        r.DEVICE_ID: device_id,
        r.VENDOR_ID: r.VENDOR,
    }
    rows = [copy_row(offset, value) for offset, value in constants.items()]
    return rows + [Register(offset, write=WriteKind.POSTED) for offset in _GATHERED]


def copy_row(offset: int, value: int) -> Register:
    """A register whose loads are answered from a copy; stores are calls."""
    return Register(offset, ReadKind.SHADOW, value=value)


def config_rows(config: bytes, announced: bytes) -> Iterator[Register]:
    """The configuration space where it differs from what was announced.

    A copy does not know how wide a load is: each byte's holds what the widest load finds from there on.
    """
    for at in range(max(len(config), len(announced))):
        value = _from(config, at)
        if at >= len(announced) or value != _from(announced, at):
            yield copy_row(r.CONFIG + at, value)


def _from(config: bytes, at: int) -> int:
    return int.from_bytes(config[at : at + WIDEST], "little")
