"""The numbers and names of a recording, each in one place; docs/log-format.md is the authority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import MAX_PAYLOAD_BYTES, descriptor_of, name_of
from machine.frame import class_of
from machine.icount import FIRST_DEVICE

if TYPE_CHECKING:
    from machine.board import Board

FORMAT_VERSION: Final = 4
"""Raised when a reader of the last version would misread; machine.toml carries it."""

READABLE_FORMATS: Final = (1, 2, 3, 4)
"""Those this program reads; docs/log-format.md says what each lacks."""

LINKED_FORMAT: Final = 2
"""From this format on every chunk begins with a link."""

RESUMABLE_FORMAT: Final = 3
"""From this format on the chain can be gone on with from the middle, so there can be snapshots."""

LINK_TOPIC: Final = "link"
LINK_CLASS: Final = "link"
"""The channel of links, and its metadata's class."""

PROFILE: Final = "dejavm"
"""The MCAP header's profile."""

MESSAGE_ENCODING: Final = "protobuf"
SCHEMA_ENCODING: Final = "protobuf"
COMPRESSION: Final = "zstd"

MAGIC: Final = b"\x89MCAP0\r\n"
"""First and last bytes of an MCAP file."""

CHUNK_NS: Final = 100_000_000
"""Host time after which a chunk is closed: what a killed broker loses at most."""

CHUNK_BYTES: Final = 1 << 20
"""Bytes of records after which a chunk is closed, before compression."""

GOOD_NS: Final = 50_000_000
GOOD_BYTES: Final = 256 * 1024
"""From this age or size on a chunk is closed as soon as a sync point comes: what an input causes, DMA that repeats a
packet for one, is in the input's own chunk then, and the compressor sees the repetition."""

HIGHEST_CHUNK_BYTES: Final = CHUNK_BYTES + MAX_PAYLOAD_BYTES + (1 << 20)
"""No chunk is larger, compressed or not: one chunk's fill, one message of the largest size, its schemas."""

SEQ_MASK: Final = 0xFFFF_FFFF
"""MCAP's sequence is 32 bits wide; a reader counts on."""

HIGHEST_NODE: Final = 0xFFFF


def node_names(board: Board) -> tuple[str, ...]:
    """The nodes of a board by number: the broker, the CPU, the devices in board order."""
    return ("broker", "cpu", *(slot.name for slot in board.devices))


def node_number(board: Board, name: str) -> int:
    """The number of a node; BoardError if the board has none of that name."""
    if name in ("broker", "cpu"):
        return ("broker", "cpu").index(name)
    return FIRST_DEVICE + board.devices.index(board.device(name))


def topic_of(names: tuple[str, ...], source: int, target: int, message_type: int) -> str:
    """A channel's topic, `cpu/mmio_access>serial0`: who says what to whom."""
    return f"{node_name(names, source)}/{name_of(message_type)}>{node_name(names, target)}"


def channel_metadata(source: int, target: int, message_type: int) -> dict[str, str]:
    """A channel's metadata: what a frame's header says, in decimal, and the message's class."""
    return {
        "source": str(source),
        "target": str(target),
        "type": str(message_type),
        "class": class_of(message_type).name.lower(),
    }


def schema_name(message_type: int) -> str:
    """The full protobuf name of a message type, `machine.wire.v1.MmioAccess`."""
    return str(descriptor_of(message_type).DESCRIPTOR.full_name)


def node_name(names: tuple[str, ...], number: int) -> str:
    """A node's name, also if the board has none for its number; no two numbers have the same."""
    if number < len(names):
        return names[number]
    name = f"node{number}"
    return f"#{number}" if name in names else name
