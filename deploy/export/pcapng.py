"""The packets of a recording's network cards: what each was handed, and what its cable took."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from deploy.export.passed import passed
from deploy.export.table import Choice, chosen_devices
from machine.pcapng import head, packet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from machine.clock import VirtualClock
    from machine.frame import Frame
    from machine.recording.reader import Recording

KIND: Final = "nic"
LENGTH: Final = struct.Struct(">H")
TIMES: Final = "times are the guest's virtual time, from power-on"


def export(recording: Recording, frames: Iterable[Frame], choice: Choice) -> Iterator[bytes]:
    """One interface a card; UsageError if there is none."""
    cards = chosen_devices(recording, KIND, choice.node)
    return _blocks(cards, frames, recording.clock())


def _blocks(cards: list[tuple[int, str]], frames: Iterable[Frame], clock: VirtualClock) -> Iterator[bytes]:
    yield head(*(name for _, name in cards), times=TIMES)
    interfaces = {number: interface for interface, (number, _) in enumerate(cards)}
    for row in passed(frames, clock):
        interface = interfaces.get(row.node)
        if interface is None:
            continue
        for ethernet in ethernet_frames(row.data):
            yield packet(ethernet, row.icount, inbound=row.inbound, interface=interface, time_ns=row.time_ns)


def ethernet_frames(data: bytes) -> Iterator[bytes]:
    """The frames of one message of a card, each behind its length; what is behind the last whole one is left out."""
    at = LENGTH.size
    while at <= len(data):
        end = at + int.from_bytes(data[at - LENGTH.size : at], "big")
        if end > len(data):
            return
        yield data[at:end]
        at = end + LENGTH.size
