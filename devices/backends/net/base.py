"""The backend of a network card: one wire, its plug, a capture, and the frames the card has no room for yet.

Lives here: what becomes a message, and when.  Never here: where frames go (wire.py and its kin).
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from devices.backends.base import BackendBase
from devices.backends.net.capture import Capture
from devices.backends.net.frames import LARGEST_FRAME, LENGTH, MESSAGE_BYTES, MESSAGE_FRAMES, pack, unpack
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from devices.backends.net.cable import CableWord
    from devices.backends.net.wire import Wire
    from devices.model import Estate, Submit

MEMORY: Final = struct.Struct(">??Q")
PACE_NS: Final = 10_000_000
"""In it a guest takes a message of frames and answers them: some million instructions."""
log = logging.getLogger("dejavm")


class NetBackend(BackendBase):
    """A card's cable: frames in bounded messages, OPENED and CLOSED as the link comes and goes."""

    def __init__(self, name: str, word: CableWord, wire: Wire) -> None:
        super().__init__(name)
        self._word = word
        self._wire = wire
        self._capture = Capture(name, word.capture)
        self._waiting: deque[bytes] = deque()
        """Frames that have come and that the card has had no room for; nothing is read meanwhile."""
        self._sorted = 0
        """How many of them, the oldest, the wire does not keep any more."""
        self._there = False
        """Whether the wire's other side is there."""
        self._up: bool | None = None
        """What the card has been told of its link."""
        self._blocked = False
        self.too_long = 0
        """Frames that no message can carry."""

    @property
    def pace_ns(self) -> int:
        """Frames that came one answer after the other are beyond a TCP window when they come at once, and lost."""
        return PACE_NS

    def open(self, submit: Submit) -> None:
        """Plug in; the card is told what its link is.  BackendError names what cannot be had."""
        super().open(submit)
        self._capture.open()
        self._wire.open(self._link, self._writable)
        self._tell()

    def keep(self, estate: Estate) -> None:
        """The wire's business, too."""
        super().keep(estate)
        self._wire.keep(estate)

    def memory(self) -> bytes:
        """How the link is, and how far the capture has come."""
        return MEMORY.pack(bool(self._up), self._up is not None, self._capture.position)

    def recall(self, memory: bytes, submit: Submit) -> None:
        """The link; and the capture is cut to where it was then."""
        up, told, position = MEMORY.unpack(memory) if memory else (False, False, 0)
        self._up = up if told else None
        self._capture.open(position)

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """The wire as it was; what has become of it meanwhile the card is told."""
        super().open(submit)
        last = self._estate.last_link if self._estate is not None else None
        if last is not None:
            self._up = last is HostEvent.OPENED
        self._blocked = owes
        if not self._wire.resume(self._link, self._writable, owes=owes):
            self._wire.open(self._link, self._writable)
            self._there, there = False, self._there
            self._tell()
            self._there = there
        self._tell()
        return True

    def close(self) -> None:
        """Unplug, end the capture."""
        self._wire.close()
        self._capture.close()

    def take_word(self, word: str) -> bool:
        """Another capture, or the plug in or out, while all that runs over the wire stays."""
        new = self._word.parse(word, self._name)
        if new.wire != self._word.wire:
            return False
        if new.capture != self._word.capture:
            capture = Capture(self._name, new.capture)
            capture.open()
            self._capture.close()
            self._capture = capture
        self._word = new
        self._tell()
        return True

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The wire's, read as far as there is room.  What comes for a plug that is out is read and lost."""
        return self._wire.descriptors(reads=self._reads(room))

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Let the wire work; pass on what has come."""
        frames = self._wire.ready(descriptor, readable=readable, writable=writable)
        if self._word.plugged and all(self._fits(frame) for frame in frames):
            self._waiting.extend(frames)
        else:
            self._sort(frames)
        self._deliver(room)
        self._tell()

    def advance(self, room: int) -> None:
        """There may be room now for what has come before."""
        if self._waiting:
            self._deliver(room)

    def write(self, data: bytes) -> BackendResult:
        """Send frames, whole ones.  With the link down they are lost, as in any cable that is out."""
        frames = list(unpack(data))
        if not self._up:
            return BackendResult(len(data))
        taken = self._wire.send(frames)
        if taken == len(frames):
            return BackendResult(len(data))
        self._blocked = True
        return BackendResult(sum(LENGTH.size + len(frame) for frame in frames[:taken]))

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """Capture what has reached the other side of this backend, in either direction."""
        if self._capture.running:
            for frame in unpack(data):
                self._capture.write(frame, icount, inbound=inbound)

    def _sort(self, frames: Sequence[bytes]) -> None:
        """Frames of which not all are for the card: those in front of a long one are passed on with those behind it."""
        fitting = [frame for frame in frames if self._word.plugged and self._fits(frame)]
        self._wire.taken(frames)
        self._sorted = len(fitting)
        self._waiting.extend(fitting)

    def _reads(self, room: int) -> bool:
        return not self._word.plugged or (room > 0 and not self._waiting)

    def _fits(self, frame: bytes) -> bool:
        if len(frame) <= LARGEST_FRAME:
            return True
        if not self.too_long:
            log.warning("%s: a frame of %d bytes is dropped; %d are possible", self._name, len(frame), LARGEST_FRAME)
        self.too_long += 1
        return False

    def _deliver(self, room: int) -> None:
        """Submit waiting frames, in their order, as far as there is room."""
        while self._waiting and self._up is not False:
            frames: list[bytes] = []
            size = 0
            while self._waiting and len(frames) < MESSAGE_FRAMES:
                more = size + LENGTH.size + len(self._waiting[0])
                if more > min(room, MESSAGE_BYTES):
                    break
                frames.append(self._waiting.popleft())
                size = more
            if not frames:
                return
            room -= size
            self._submit(HostEvent.DATA, pack(frames), 0)
            self._take(frames)

    def _take(self, frames: Collection[bytes]) -> None:
        """The oldest that wait are safe, or lost for good."""
        already = min(self._sorted, len(frames))
        self._sorted -= already
        self._wire.taken(list(frames)[already:])

    def _link(self, up: bool) -> None:
        self._there = up
        if not up:
            self._writable()

    def _tell(self) -> None:
        """Tell the card about its link, behind the frames that came while it was up."""
        up = self._there and self._word.plugged
        if up == self._up:
            return
        self._up = up
        if not up:
            self._take(self._waiting)
            self._waiting.clear()
            self._writable()
        self._submit(HostEvent.OPENED if up else HostEvent.CLOSED, b"", 0)

    def _writable(self) -> None:
        if self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
