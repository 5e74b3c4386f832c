"""Small boards, frames and recordings for the tests of the recording; no test lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcap.opcode import Opcode

from machine.board import Board, DeviceSlot
from machine.codec import encode, type_of
from machine.errors import LogError
from machine.frame import Frame
from machine.message import (
    Access,
    AccessKind,
    Done,
    End,
    HostEvent,
    HostInput,
    MmioAccess,
    PowerOffReason,
    Reset,
    SyncPoint,
)
from machine.recording.facts import Facts
from machine.recording.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.message import Message
    from machine.recording.reader import Recording

BOARD: Final = Board(
    "tiny", devices=(DeviceSlot("serial0", "serial", 0x1000_0000, 10), DeviceSlot("rtc0", "rtc", 0x10_1000, 11))
)
FACTS: Final = Facts("00" * 16, "2026-01-02T03:04:05.000006+00:00", versions=(("python", "3.11.2"),))
SPOKEN: Final[Sequence[tuple[int, int, int, Message]]] = (
    (0, 0, 2, Reset()),
    (0, 2, 1, Done()),
    (1000, 0, 1, SyncPoint(idle_ns=500)),
    (1000, 0, 2, HostInput(HostEvent.DATA, b"ls\n")),
    (1000, 2, 1, Done()),
    (2500, 1, 2, MmioAccess((Access(AccessKind.READ, 0, 1), Access(AccessKind.WRITE, 1, 4, 77)))),
    (2500, 2, 1, Done(108)),
    (4000, 0, 1, SyncPoint(idle_ns=25)),
    (4000, 0, 1, End(PowerOffReason.SHUTDOWN)),
)
"""icount, source, target, message."""

FRAMES: Final = tuple(
    Frame(type_of(type(message)), source, target, icount, encode(message), seq)
    for seq, (icount, source, target, message) in enumerate(SPOKEN, 1)
)


def write(
    path: Path,
    frames: Sequence[Frame] = FRAMES,
    *,
    chunk: int = 3,
    close: bool = True,
    board: Board = BOARD,
    facts: Facts = FACTS,
) -> Path:
    """A recording of frames with `chunk` messages to a chunk; its directory."""
    writer = RecordingWriter(path, board, facts)
    host_ns = 0
    for number, frame in enumerate(frames, 1):
        writer.append(frame, host_ns)
        if number % chunk == 0:
            host_ns += 100_000_000
            writer.flush_if_due(host_ns)
    if close:
        writer.finish()
    else:
        writer.abandon()
    return path


def cut_in_the_last_chunk(log: Path) -> None:
    """Take everything behind the last chunk's last byte but one from a closed log."""
    data = log.read_bytes()
    log.write_bytes(data[: behind_the_chunks(data) - 1])


def behind_the_chunks(data: bytes) -> int:
    """The byte behind the last whole chunk of a log, which may end anywhere."""
    at = 8
    while data[at : at + 9][8:] and data[at] in (Opcode.HEADER, Opcode.CHUNK):
        behind = at + 9 + int.from_bytes(data[at + 1 : at + 9], "little")
        if behind > len(data):
            break
        at = behind
    return at


def read_all(recording: Recording) -> tuple[list[Frame], LogError | None]:
    """Everything good, and what ended it."""
    frames: list[Frame] = []
    walk = recording.frames()
    while True:
        try:
            frames.append(next(walk))
        except StopIteration:
            return frames, None
        except LogError as error:
            return frames, error
