"""What has been said to a device and by it since it last kept its state: enough for a successor to become the same.

Lives here: the messages of one device, and telling them again.  Never here: sockets, which process it is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import name_of, type_of
from machine.errors import MachineError
from machine.frame import FIRST_DERIVED_TYPE, FIRST_INPUT_TYPE, Frame
from machine.icount import BROKER, FIRST_DEVICE
from machine.recording.compare import divergence, same, silence

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES: Final = 256 << 20
"""A device that keeps no state for so long cannot be rebuilt any more."""

_ANSWERS: Final = frozenset(type_of(cls) for cls in (m.Done, m.Digest))


class Past:
    """The stamped messages of one device, from its last Checkpoint on."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames: deque[Frame] = deque()
        self.inputs = 0
        """Inputs that its backend has brought, from the first."""
        self._bytes = 0
        self._whole = True

    def add(self, frame: Frame) -> None:
        """Another message to the device or from it."""
        self.frames.append(frame)
        self._bytes += len(frame.payload)
        if self._bytes > MOST_BYTES:
            self._whole = False
            self.frames.clear()
            self._bytes = 0

    def forget(self, seq: int) -> None:
        """What is in front of a message is not needed any more."""
        frames = self.frames
        while frames and frames[0].seq < seq:
            self._bytes -= len(frames.popleft().payload)
        if frames and frames[0].seq == seq:
            self._whole = True

    def since(self, seq: int, name: str) -> list[Frame]:
        """The messages from one on; MachineError if they are not all there."""
        kept = [frame for frame in self.frames if frame.seq >= seq]
        first = self.frames[0].seq if self.frames else seq
        if not self._whole or (seq > 1 and first > seq):
            raise MachineError(f"{name} cannot be rebuilt: its past from message {seq} on is not kept")
        return kept

    @property
    def unanswered(self) -> Frame | None:
        """The message that the device has been given and has not answered."""
        for frame in reversed(self.frames):
            if frame.source == self.number and frame.type in _ANSWERS:
                return None
            if frame.target == self.number and frame.type not in _REPLIES:
                return frame
        return None


_REPLIES: Final = frozenset(type_of(cls) for cls in (m.ClockReading, m.Entropy))
"""What a device is told in the middle of its handling a message."""


class Pasts:
    """Those of so many devices."""

    def __init__(self, devices: int) -> None:
        self._of = {number: Past(number) for number in range(FIRST_DEVICE, FIRST_DEVICE + devices)}

    def __contains__(self, number: int) -> bool:
        """Whether a node's is kept."""
        return number in self._of

    def __getitem__(self, number: int) -> Past:
        """A device's."""
        return self._of[number]

    def add(self, frame: Frame) -> None:
        """A stamped message; of the two sides the device has the greater number."""
        past = self._of.get(max(frame.source, frame.target))
        if past is not None:
            past.add(frame)

    def count_input(self, number: int) -> None:
        """A device's backend has brought something."""
        if number in self._of:
            self._of[number].inputs += 1


class Retelling:
    """A successor is told the past, and what it says is compared with what was said."""

    def __init__(self, past: list[Frame], number: int, name: Callable[[int], str]) -> None:
        self._number = number
        self._name = name
        self._expected = deque(frame for frame in past if self._was_said(frame))
        self._told = [frame for frame in past if not self._was_said(frame)]
        self.messages = len(past)

    def tell(self, send: Callable[[Frame], None], present: Frame) -> None:
        """Everything it was told, and that this is all; it answers in that order."""
        for frame in self._told:
            # A backend's result was the device's own word; now the device is told.
            target = frame.source if frame.target == BROKER else frame.target
            send(Frame(frame.type, frame.source, target, frame.icount, frame.payload, frame.seq))
        send(present)
        self._told.clear()

    @property
    def over(self) -> bool:
        """Whether everything has been said again: the next word is new."""
        return not self._expected

    def heard(self, frame: Frame) -> bool:
        """Whether a word of the successor is one of the past's; Divergence if it should be, and is not."""
        if frame.type < FIRST_INPUT_TYPE or not self._expected:
            return False
        if not same(self._expected[0], frame):
            raise divergence(self._expected[0], frame, self._name)
        self._expected.popleft()
        return True

    def silent(self) -> Exception:
        """What it has not said, as the reason why the run ends."""
        return silence(self._expected[0], "nothing", self._name)

    def _was_said(self, frame: Frame) -> bool:
        return frame.source == self._number and frame.type >= FIRST_DERIVED_TYPE


def describe(frame: Frame | None) -> str:
    """A message a process died at, for the user."""
    return "between two messages" if frame is None else f"at message {frame.seq} ({name_of(frame.type)})"
