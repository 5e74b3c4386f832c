"""What a device's process leaves to the one that stands in for it when it dies (docs/faults.md).

Theory of operation.  A file of the running machine's directory, mapped; the pages outlive the process that wrote them,
whatever ends it.  Everything is written first and counts from the store of one word on, so there is no moment at which
the file says something half.  In it: the model's state as of in front of some message (two places in turn), what has
been read of guest memory since, what the backend has brought, and what the host made of each output.

A store into a hole of a mapped file ends the process where the file system is full (SIGBUS, mmap(2)).  So nothing is
stored before the host has given room for it.  Where it gives none the journal has a gap until the next state is kept,
and says so: the device runs on, but nobody can stand in for it meanwhile.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.errors import Divergence, MachineError
from machine.icount import Icount, Seq, Stamp
from machine.message import BackendResult, HostEvent, HostInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger("dejavm")
WORD: Final = 8
PAGE: Final = 4096
RESULTS: Final = 4096
"""Outputs whose results are kept; one message of a device causes fewer."""
RESULTS_AT: Final = PAGE
INPUTS_AT: Final = RESULTS_AT + RESULTS * 2 * WORD
INPUTS_BYTES: Final = 1 << 23
"""More than comes between two states: what is overwritten has been delivered long ago."""
SLOTS_AT: Final = INPUTS_AT + INPUTS_BYTES
SLOT_BYTES: Final = 1 << 26
"""Room for a state and for what is read until the next; the file has holes where nothing was written."""
FILE_BYTES: Final = SLOTS_AT + 2 * SLOT_BYTES
STEP: Final = 1 << 16
"""Room is asked for so many bytes at a time: a power of two."""
DUE_MESSAGES: Final = 1000
DUE_BYTES: Final = 4 << 20
"""A new state is kept after so many messages, or bytes said, heard and read."""
MODE: Final = 0o600
NEVER: Final = 1 << 62
"""The number of no input."""

_ACTIVE, _BEGUN, _INPUTS_END, _PEEKED, _STAGE, _BASE, _MISSED, _GAP = range(8)
_SEQ, _STATE, _MEMORY, _READS, _INPUTS, _OUTPUTS, _WAITING, _OWES = range(8)
_SLOT_HEAD: Final = PAGE
_INPUTS_REGION: Final = 0
"""Those of the slots have the slots' numbers."""
_REGIONS: Final = (INPUTS_AT, SLOTS_AT, SLOTS_AT + SLOT_BYTES)
"""Where those parts begin that are given room as they fill."""
_READ: Final = struct.Struct("<QQ")
_TRAILER: Final = struct.Struct("<QQII")
"""Behind the bytes of an input: its number, delay, event, length."""
_LOW: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A device as it was in front of message `seq`; `state` is empty for power-on."""

    seq: int = 0
    state: bytes = b""
    backend: bytes = b""
    """What the backend remembers (devices/model.py, Backend.memory)."""
    inputs: int = 0
    """Submitted so far."""
    outputs: int = 0
    """Given to the backend so far."""
    waiting_bytes: int = 0
    """Submitted and not delivered."""
    owes: bool = False
    """The backend took less than it was given, and has not said that it takes more."""


class Journal:
    """The file of one device.  One process writes at a time: the next begins when the last is gone."""

    def __init__(self, path: Path, *, new: bool) -> None:
        """`new`: nobody is to be stood in for.  MachineError if it cannot be had."""
        self._path = path
        try:
            if new:
                path.unlink(missing_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
            try:
                os.ftruncate(self._fd, FILE_BYTES)
                os.posix_fallocate(self._fd, 0, INPUTS_AT + STEP)
                for start in _REGIONS[1:]:
                    os.posix_fallocate(self._fd, start, STEP)
                self._map = mmap.mmap(self._fd, FILE_BYTES)
            except OSError:
                os.close(self._fd)
                raise
        except OSError as error:
            raise MachineError(f"{path}: cannot keep a journal: {error.strerror}") from error
        self._rooms = [start + STEP for start in _REGIONS]
        """How far the host has given room in each of them."""
        self._lacked = (_INPUTS_REGION, 0)
        """The newest part for which it had none."""
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._messages = 0
        self._weight = 0
        self._told = 0
        """How far what was read has been told again."""
        if not self._words[_ACTIVE]:
            self.keep(Kept())

    @classmethod
    def left(cls, path: Path) -> Journal:
        """That of a process that has died, to be gone on with; MachineError if there is not all that this takes."""
        journal = cls(path, new=False)
        if journal.gap:
            raise MachineError(f"{path}: there was no room for what a process that takes over must know")
        return journal

    @classmethod
    def behind(cls, path: Path, base: int, unsaid: Sequence[HostInput], *, looked: bool) -> Journal:
        """A new one, of a run that goes on behind message `base`, in place of that of a process of the run before.

        `unsaid` are what that had brought and nobody has had; `looked`: it has taken what it had looked at.
        """
        journal = cls(path.with_suffix(".next"), new=True)
        words = journal._words
        words[_BASE] = base
        for number, message in enumerate(unsaid, 1):
            journal.submit(number, message)
        words[_PEEKED] = 0 if looked else NEVER
        try:
            os.replace(journal._path, path)
        except OSError as error:
            raise MachineError(f"{path}: cannot keep a journal: {error.strerror}") from error
        journal._path = path
        return journal

    @property
    def base(self) -> int:
        """The message behind which its run has begun."""
        return int(self._words[_BASE])

    def forget(self) -> None:
        """Let go of it, and leave the file."""
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self._fd)

    def close(self) -> None:
        """Nobody will come: remove the file."""
        self._path.unlink(missing_ok=True)
        self.forget()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def gap(self) -> bool:
        """There was no room for something that a successor must know."""
        return bool(self._words[_GAP])

    @property
    def missed(self) -> int:
        """The number of the newest input for which there was no room; 0 for none."""
        return int(self._words[_MISSED])

    # State.

    def due(self, weight: int) -> bool:
        """Another message, of so many bytes, is about to be handled: is it time to keep the state?"""
        self._messages += 1
        self._weight += weight
        return self._messages >= DUE_MESSAGES or self._weight >= DUE_BYTES

    def weigh(self, size: int) -> None:
        """So many bytes have been said."""
        self._weight += size

    def keep(self, kept: Kept) -> None:
        """Keep a state; what was read before it is forgotten, and what was missed is not needed any more."""
        slot = 2 if self._words[_ACTIVE] == 1 else 1
        at = self._slot(slot) + _SLOT_HEAD
        end = at + len(kept.state) + len(kept.backend)
        if end > self._slot(slot) + SLOT_BYTES:
            raise MachineError(f"a state of {len(kept.state)} bytes does not fit the journal")
        self._messages = self._weight = 0
        if not (self._room(slot, end) and self._room(*self._lacked)):
            return
        self._bytes[at:end] = kept.state + kept.backend
        head = self._slot(slot) // WORD
        values = (
            kept.seq, len(kept.state), len(kept.backend), 0, kept.inputs, kept.outputs, kept.waiting_bytes, kept.owes,
        )  # fmt: skip
        for number, value in enumerate(values):
            self._words[head + number] = value
        self._words[_ACTIVE] = slot
        self._told = 0
        if self._words[_GAP]:
            self._words[_GAP] = 0
            log.warning("%s: there is room again: another process can stand in for this one", self._path)

    def kept(self) -> Kept:
        """The newest state."""
        head, at = self._head, self._head * WORD + _SLOT_HEAD
        word = self._words
        middle = at + word[head + _STATE]
        end = middle + word[head + _MEMORY]
        return Kept(
            word[head + _SEQ],
            bytes(self._bytes[at:middle]),
            bytes(self._bytes[middle:end]),
            word[head + _INPUTS],
            word[head + _OUTPUTS],
            word[head + _WAITING],
            bool(word[head + _OWES]),
        )

    # Guest memory.

    def read_made(self, address: int, data: bytes) -> None:
        """This was in guest memory when the model looked."""
        at, end = self._reads_at, self._words[self._head + _READS]
        after = end + _READ.size + len(data)
        if at + after > (self._head * WORD) + SLOT_BYTES:
            raise MachineError("one message of the guest's has a device read more of memory than its journal holds")
        self._weight += len(data)
        # Behind a gap it is of no use.
        if self._words[_GAP] or not self._room(self._words[_ACTIVE], at + after):
            return
        _READ.pack_into(self._map, at + end, address, len(data))
        self._bytes[at + end + _READ.size : at + after] = data
        self._words[self._head + _READS] = after
        self._told = after

    def read_again(self, address: int, size: int, node: str, icount: int) -> bytes | None:
        """What was there when a predecessor looked; None behind its last look.  Divergence if it looked elsewhere."""
        if self._told >= self._words[self._head + _READS]:
            return None
        at = self._reads_at + self._told
        told = _READ.unpack_from(self._map, at)
        if told != (address, size):
            stamp = Stamp(Icount(icount), Seq(0))
            expected, actual = (f"{count} bytes of memory at {start:#x}" for start, count in (told, (address, size)))
            raise Divergence(stamp, node, "dma_read", expected, actual)
        self._told += _READ.size + size
        return bytes(self._bytes[at + _READ.size : at + _READ.size + size])

    # What the backend brings.

    def submit(self, number: int, message: HostInput) -> None:
        """An input is about to be said."""
        record = message.data + _TRAILER.pack(number, message.delay_ns, message.event, len(message.data))
        end = self._words[_INPUTS_END]
        after = INPUTS_AT + end % INPUTS_BYTES + len(record)
        if after > self._rooms[_INPUTS_REGION] and not self._room(_INPUTS_REGION, min(after, SLOTS_AT)):
            self._words[_MISSED] = number
            return
        self._put(end, record[-INPUTS_BYTES:])
        self._words[_INPUTS_END] = end + len(record)

    def submitted_after(self, number: int) -> list[tuple[int, HostInput]]:
        """Inputs with higher numbers, in order, as far back as they are kept, and not beyond one that was missed."""
        found: list[tuple[int, HostInput]] = []
        last = self._words[_INPUTS_END]
        end = last
        while end >= _TRAILER.size:
            each, delay_ns, event, size = _TRAILER.unpack(self._get(end - _TRAILER.size, _TRAILER.size))
            start = end - _TRAILER.size - size
            if each <= max(number, self._words[_MISSED]) or start < 0 or last - start > INPUTS_BYTES:
                break
            found.append((each, HostInput(HostEvent(event), self._get(start, size), delay_ns)))
            end = start
        return found[::-1]

    @property
    def last_input(self) -> int:
        """The number of the newest input; 0 for none."""
        end = self._words[_INPUTS_END]
        newest = int(_TRAILER.unpack(self._get(end - _TRAILER.size, _TRAILER.size))[0]) if end else 0
        return max(newest, self.missed)

    @property
    def peeked(self) -> int:
        """The number that the input which is being looked at will have."""
        return self._words[_PEEKED]

    @peeked.setter
    def peeked(self, number: int) -> None:
        self._words[_PEEKED] = number

    # What goes out.

    def begin_output(self, number: int) -> None:
        """An output is about to be given to the host."""
        self._words[_BEGUN] = number

    def end_output(self, number: int, result: BackendResult) -> None:
        """The host has answered."""
        at = (RESULTS_AT // WORD) + 2 * (number % RESULTS)
        self._words[at + 1] = result.accepted | result.error << 32
        self._words[at] = number

    def result_of(self, number: int) -> BackendResult | None:
        """What the host made of an output; None if it has not answered."""
        at = (RESULTS_AT // WORD) + 2 * (number % RESULTS)
        if self._words[at] != number:
            return None
        return BackendResult(self._words[at + 1] & _LOW, self._words[at + 1] >> 32)

    @property
    def begun(self) -> int:
        """The number of the newest output that the host has been given, or was about to be."""
        return self._words[_BEGUN]

    @property
    def stage(self) -> int:
        """A backend's own word about the output under way."""
        return self._words[_STAGE]

    @stage.setter
    def stage(self, value: int) -> None:
        self._words[_STAGE] = value

    @property
    def _head(self) -> int:
        return self._slot(self._words[_ACTIVE]) // WORD

    @property
    def _reads_at(self) -> int:
        head = self._head
        return head * WORD + _SLOT_HEAD + self._words[head + _STATE] + self._words[head + _MEMORY]

    def _room(self, region: int, end: int) -> bool:
        """Whether bytes of a region, up to `end`, may be stored; if not, there is a gap from now on."""
        start = self._rooms[region]
        if end <= start:
            return True
        end = min((end + STEP - 1) & -STEP, FILE_BYTES)
        try:
            os.posix_fallocate(self._fd, start, end - start)
        except OSError as error:
            self._lacked = (region, end)
            if not self._words[_GAP]:
                self._words[_GAP] = 1
                log.warning(
                    "%s: %s; make room: until then the run ends if this process dies", self._path, error.strerror
                )
            return False
        self._rooms[region] = end
        return True

    @staticmethod
    def _slot(number: int) -> int:
        return SLOTS_AT + (number - 1) * SLOT_BYTES

    def _put(self, position: int, data: bytes) -> None:
        at = position % INPUTS_BYTES
        first = data[: INPUTS_BYTES - at]
        self._bytes[INPUTS_AT + at : INPUTS_AT + at + len(first)] = first
        rest = data[len(first) :]
        self._bytes[INPUTS_AT : INPUTS_AT + len(rest)] = rest

    def _get(self, position: int, size: int) -> bytes:
        at = position % INPUTS_BYTES
        first = bytes(self._bytes[INPUTS_AT + at : INPUTS_AT + min(at + size, INPUTS_BYTES)])
        return first + bytes(self._bytes[INPUTS_AT : INPUTS_AT + size - len(first)])
