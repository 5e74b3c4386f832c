"""Writing a recording: create the directory, append messages, close it.

Lives here: when a chunk is closed, what a full disk leads to.
Never here: the order of messages (the caller stamps them), the host's clock (the caller reads it).
"""

from __future__ import annotations

import shutil
import typing
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from operator import attrgetter
from typing import Final

from mcap.records import Message

from machine.board import Board, render_board
from machine.codec import MESSAGES, type_of
from machine.errors import LogError, UsageError
from machine.frame import class_of
from machine.message import MessageClass, SyncPoint
from machine.recording.chain import Chain
from machine.recording.facts import Facts, render_facts
from machine.recording.format import (
    CHUNK_BYTES,
    CHUNK_NS,
    GOOD_BYTES,
    GOOD_NS,
    LINK_CLASS,
    LINK_TOPIC,
    SEQ_MASK,
    channel_metadata,
    node_names,
    schema_name,
    topic_of,
)
from machine.recording.layout import DIRECTORY_MODE, FILE_MODE, LOG_NAME, MACHINE_NAME, PART_SUFFIX
from machine.recording.logfile import LogFile
from machine.recording.place import Place, Point
from machine.recording.schema import schema_of
from machine.recording.sections import Sections
from machine.recording.times import times_in

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from machine.frame import Frame
    from machine.recording.reader import Recording
    from machine.recording.walk import LogWalk

_SYNC_POINT: Final = type_of(SyncPoint)
_KEY: Final = attrgetter("type", "source", "target")
"""What a message's channel is known by."""
_MESSAGE_OVERHEAD = 31
"""Bytes of an MCAP message record around its payload."""


class RecordingWriter:
    """A recording that is being made.

    UsageError if `directory` exists; LogError, here and in every method, when the host refuses a
    write: what was written until then stays readable, nothing more can be written.  A branch goes on behind the
    messages of its parent; the directory that has been prepared for it is `prepared`, and gets its name here.

    `begun` is a recording that another process has begun in `directory`, up to the message to go on behind: what is
    behind that is dropped, its machine.toml is replaced, and the log goes on as if nobody had died.
    """

    def __init__(
        self,
        directory: Path,
        board: Board,
        facts: Facts,
        prepared: Path | None = None,
        begun: tuple[Recording, int] | None = None,
    ) -> None:
        self._names = node_names(board)
        self._channels: dict[tuple[int, int, int], int] = {}
        self._schemas: dict[int, int] = {}
        self._id = facts.id
        start = facts.beginning
        self._chain = Chain(start.chain)
        self._seq = start.seq
        self._icount = start.place.icount
        self._inputs = start.inputs
        self._chunk_bytes = 0
        self._opened_ns: int | None = None
        self._directory = directory
        self._board, self._facts = board, replace(facts, closed=0)
        follows = begun is not None and begun[1] > start.seq
        self._file = (
            _create(directory, self._machine(), prepared)
            if begun is None
            else LogFile(directory / LOG_NAME, follow=follows)
        )
        self._log = Sections(self._file, directory)
        self._file.flush()
        self._links = self._log.add_channel(LINK_TOPIC, {"class": LINK_CLASS})
        if begun is not None:
            self._go_on(*begun)

    @property
    def due_ns(self) -> int | None:
        """The host time at which the open chunk must be closed; None while it is empty."""
        return None if self._opened_ns is None else self._opened_ns + CHUNK_NS

    def append(self, frame: Frame, host_ns: int) -> None:
        """Append a stamped message; `host_ns` is the host's time now, in nanoseconds."""
        assert frame.seq == self._seq + 1, f"message {frame.seq} appended where {self._seq + 1} belongs"
        if frame.type == _SYNC_POINT and self._is_good(host_ns):
            self._close_chunk()
        self._put(frame, host_ns)
        if self._chunk_bytes >= CHUNK_BYTES:
            self._close_chunk()
        else:
            self.flush_if_due(host_ns)

    def mark(self) -> Point:
        """Close the open chunk and hand it to the host; the point behind it."""
        if self._opened_ns is not None:
            self._close_chunk()
        channels = [(number, *key) for key, number in self._channels.items()]
        chain = self._chain.digest()
        place = Place(self._file.tell(), self._seq, self._icount, chain, (*channels, (self._links, 0, 0, 0)))
        return Point(place, self._seq, self._inputs, chain)

    def digest(self) -> bytes:
        """The chain behind the last message."""
        return self._chain.digest()

    def flush_if_due(self, host_ns: int) -> None:
        """Close the open chunk and hand it to the host if it has been open for 100 ms."""
        if self._opened_ns is not None and host_ns - self._opened_ns >= CHUNK_NS:
            self._close_chunk()

    def finish(self) -> None:
        """Close the log with its summary; a log closed so, whose last message is End, has a clean end."""
        self._log.finish()
        self._facts = replace(self._facts, closed=self._file.tell())
        self._log.close()
        # Who finds less of the log later knows that it has been cut, and that no crash has ended the run.
        # The log is whole; where the disk is full it just cannot be told from one that was longer.
        with suppress(LogError):
            replace_file(self._directory / MACHINE_NAME, self._machine())

    def _machine(self) -> str:
        return render_board(self._board) + "\n" + render_facts(self._facts)

    def abandon(self) -> None:
        """Leave the log as the host has it; the open chunk is lost.  Allowed at any time, more than once."""
        self._log.close()

    def _go_on(self, recording: Recording, upto: int) -> None:
        """Take over what the file has up to a message: MCAP's summary needs it all, and nothing is gone on with unread.

        The chunks are those that are there; the one in which the message is ends behind it.
        """
        walk = recording.walk(recording.beginning.place)
        rest: list[tuple[Frame, int]] = []
        for frames in walk.chunks():
            if frames[-1].seq > upto:
                timed = zip(frames, times_in(walk.body, self._links), strict=True)
                rest = [(frame, host_ns) for frame, host_ns in timed if frame.seq <= upto]
                break
            self._take_over(frames, walk)
            if self._seq >= upto:
                break
        replace_file(recording.path / MACHINE_NAME, self._machine())
        self._file.cut()
        self._say_again(rest)
        assert self._seq == max(upto, recording.beginning.seq), f"{upto} messages of {recording.path}"

    def _take_over(self, frames: list[Frame], walk: LogWalk) -> None:
        """A chunk that is there.  What channels are and which numbers they have is said again, and compared."""
        counts = Counter(map(_KEY, frames))
        if not counts.keys() <= self._channels.keys():
            self._say_again(zip(frames, times_in(walk.body, self._links), strict=True))
            return
        messages = {self._channels[key]: count for key, count in counts.items()}
        self._log.adopt(walk.body, {self._links: 1, **messages})
        self._seq, self._icount, self._chain = frames[-1].seq, frames[-1].icount, Chain(walk.digest())
        self._inputs += sum(count for (kind, *_), count in counts.items() if class_of(kind) is MessageClass.INPUT)

    def _say_again(self, timed: Iterable[tuple[Frame, int]]) -> None:
        for frame, host_ns in timed:
            self._put(frame, host_ns)
        if self._opened_ns is not None:
            self._close_chunk()

    def _put(self, frame: Frame, host_ns: int) -> None:
        """Into the open chunk, or a new one."""
        if self._opened_ns is None:
            self._link(frame, host_ns)
        channel = self._channels.get((frame.type, frame.source, frame.target))
        if channel is None:
            channel = self._open_channel(frame)
        self._say(channel, frame, frame.payload, host_ns)
        self._chunk_bytes += _MESSAGE_OVERHEAD + len(frame.payload)
        self._chain.add(frame)
        self._seq = frame.seq
        self._icount = frame.icount
        self._inputs += class_of(frame.type) is MessageClass.INPUT

    def _is_good(self, host_ns: int) -> bool:
        """Whether the open chunk has enough in it to end where nothing is under way."""
        if self._opened_ns is None:
            return False
        return self._chunk_bytes >= GOOD_BYTES or host_ns - self._opened_ns >= GOOD_NS

    def _link(self, frame: Frame, host_ns: int) -> None:
        """Begin a chunk: say behind which messages of which recording it stands."""
        link = self._chain.link(self._id)
        self._say(self._links, frame, link, host_ns)
        self._opened_ns = host_ns

    def _say(self, channel: int, frame: Frame, data: bytes, host_ns: int) -> None:
        self._log.add_message(
            Message(
                channel_id=channel,
                log_time=frame.icount,
                data=data,
                publish_time=host_ns,
                sequence=frame.seq & SEQ_MASK,
            )
        )

    def _close_chunk(self) -> None:
        self._log.close_chunk()
        self._chunk_bytes = 0
        self._opened_ns = None

    def _open_channel(self, frame: Frame) -> int:
        schema = self._schemas.get(frame.type)
        if schema is None and frame.type not in MESSAGES:
            # In a copy of what this program does not know.  MCAP: schema 0 is none.
            schema = self._schemas[frame.type] = 0
        if schema is None:
            schema = self._log.add_schema(schema_name(frame.type), schema_of(frame.type))
            self._schemas[frame.type] = schema
        channel = self._log.add_channel(
            topic_of(self._names, frame.source, frame.target, frame.type),
            channel_metadata(frame.source, frame.target, frame.type),
            schema,
        )
        self._channels[frame.type, frame.source, frame.target] = channel
        return channel


@contextmanager
def whole_or_nothing(directory: Path, board: Board, facts: Facts) -> Iterator[RecordingWriter]:
    """Write a new recording, which whoever enters finishes; if that fails nothing is left of it."""
    writer = RecordingWriter(directory, board, facts)
    try:
        yield writer
    except BaseException:
        writer.abandon()
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _create(directory: Path, machine: str, prepared: Path | None) -> LogFile:
    """The directory with its machine.toml and an empty log; nothing is left behind if that fails."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(DIRECTORY_MODE)
        if prepared is not None:
            # What is renamed may take the place of an empty directory: nobody else's is lost.
            prepared.rename(directory)
    except FileExistsError as error:
        raise UsageError(f"{directory}: exists already; give the recording another name") from error
    except OSError as error:
        raise LogError(f"{directory}: cannot create the recording: {error.strerror}") from error
    try:
        # Whoever goes on behind a writer that is killed here reads what was prepared, or this.
        _put_file(directory / MACHINE_NAME, machine)
        return LogFile(directory / LOG_NAME)
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise LogError(f"{directory}: cannot create the recording: {error.strerror}") from error


def replace_file(path: Path, text: str) -> None:
    """Put a text in place of a file's, at once; LogError."""
    try:
        _put_file(path, text)
    except OSError as error:
        raise LogError(f"{path}: cannot be written: {error.strerror}") from error


def _put_file(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}{PART_SUFFIX}")
    try:
        part.touch(FILE_MODE)
        part.write_text(text)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
