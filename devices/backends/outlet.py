"""Bytes to a descriptor, each exactly once even if this process dies in the middle and another goes on.

Theory of operation.  What is to go out is put into a pipe and spliced from there (splice(2)): the kernel takes out of
the pipe what it has given to the descriptor, so what is left in it says how far that came, whoever died when.  A word
of the estate says which output it is, which piece, and whether the pipe's content counts.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING, Final

from machine.message import BackendResult

if TYPE_CHECKING:
    from devices.model import Estate

NAME: Final = "outlet"
PIECE_BYTES: Final = 1 << 12
"""Always fits the pipe, whatever the host thinks of pipes."""
_SIZE_BITS: Final = 13
_PLACE_BITS: Final = 27
_NUMBER_BITS: Final = 24
_SIZE: Final = (1 << _SIZE_BITS) - 1
_PLACE: Final = (1 << _PLACE_BITS) - 1
_NUMBER: Final = (1 << _NUMBER_BITS) - 1


class Outlet:
    """One pipe; used by one process at a time."""

    def __init__(self, estate: Estate) -> None:
        """A predecessor's, or a new one; OSError if there is none to be had."""
        self._estate = estate
        self._ends = estate.find(NAME)
        if len(self._ends) != 2:  # noqa: PLR2004  # a pipe has two
            self._ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            estate.leave(NAME, *self._ends)
            estate.stage = 0
        elif not estate.stage & _SIZE:
            # What is in it does not count.
            self._empty()

    def write(self, descriptor: int, data: bytes, done: int = 0) -> BackendResult:
        """Write what goes without waiting, from byte `done` on; never raises."""
        try:
            while done < len(data):
                piece = data[done : done + PIECE_BYTES]
                self._note(done, 0)
                os.write(self._ends[1], piece)
                self._note(done, len(piece))
                left = self._splice(descriptor, len(piece))
                done += len(piece) - left
                if left:
                    self._note(done, 0)
                    self._empty()
                    break
        except OSError as error:
            done += self._given()
            self._note(done, 0)
            self._empty()
            return BackendResult(done, error.errno or 0)
        return BackendResult(done)

    def write_again(self, descriptor: int, data: bytes) -> BackendResult:
        """Go on with an output that a predecessor had begun."""
        stage = self._estate.stage
        done = 0
        if stage >> _SIZE_BITS + _PLACE_BITS == self._estate.output & _NUMBER:
            done = (stage >> _SIZE_BITS & _PLACE) + self._given()
        self._note(done, 0)
        self._empty()
        return self.write(descriptor, data, done)

    def close(self) -> None:
        """Let go of the pipe."""
        for end in self._ends:
            os.close(end)
        self._ends = ()

    def _splice(self, descriptor: int, size: int) -> int:
        """Give away what is in the pipe; how much stays there."""
        left = size
        while left:
            try:
                left -= os.splice(self._ends[0], descriptor, left, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                break
        return left

    def _note(self, place: int, size: int) -> None:
        number = self._estate.output & _NUMBER
        self._estate.stage = number << _PLACE_BITS + _SIZE_BITS | place << _SIZE_BITS | size

    def _given(self) -> int:
        """How much of the piece under way the descriptor has."""
        size = self._estate.stage & _SIZE
        return size - self._filled() if size else 0

    def _filled(self) -> int:
        room = bytearray(4)
        fcntl.ioctl(self._ends[0], termios.FIONREAD, room)
        return int(struct.unpack("@i", room)[0])

    def _empty(self) -> None:
        while self._filled():
            os.read(self._ends[0], PIECE_BYTES)
