"""`python -m cpu_node.timeline.laying REC`: run a recording again and leave snapshots in it.

Theory of operation.  At each place the process forks: the child has memory as it was there, and writes while the parent
runs on.  One child writes at a time; which pages there are by then it has from the parent, who learns of each snapshot
once, and which may have changed since the last one: the host's page protection tells (cpu_node/staging.py).  Only the
CPU takes part, so these snapshots have its state alone.  They say how much processor time the way to them has taken,
without what the snapshots took: the best that can be known of how much work each part of the recording is, since this
is a replay.

Lives here: where snapshots are laid.  Never here: their files (machine/recording/snapshots/).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cpu_node.staging import Tracking
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import CPU_NAME, Player
from machine.board import PAGE_BYTES, parse_board
from machine.errors import EXIT_FAILED, MachineError, MissingSnapshot, NoRoom, told_as
from machine.node import die_with_parent, start_diagnostics
from machine.recording.place import START
from machine.recording.reader import Recording
from machine.recording.snapshots.snapshot import NodeState, Snapshot
from machine.recording.snapshots.writer import SnapshotWriter
from machine.shown import shown_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from machine.message import Saved
    from machine.recording.snapshots.store import Head

FAILED: Final = "failed"
"""In front of why a snapshot, or the replay, could not be."""


class Layer:
    """Lays snapshots into one recording."""

    def __init__(self, recording: Recording, player: Player) -> None:
        self._recording = recording
        self._player = player
        self._writer = SnapshotWriter(recording.path, recording.facts.id)
        self._point = START
        self._child = 0
        self._number: int | None = None
        """Of the last snapshot."""
        self._said = -1
        """Where the child says the number of its own."""
        self._work_ns = 0
        self._since_ns = 0

    def lay(self, every: int) -> None:
        """One at the first sync point at or behind each multiple of `every` instructions.  MachineError."""
        goal = every
        self._since_ns = time.thread_time_ns()
        while self._player.keep_at(goal, self._hear):
            goal = (self._player.icount // every + 1) * every
        self._await_child()

    def _hear(self, saved: Saved, icount: int) -> None:
        self._work_ns += time.thread_time_ns() - self._since_ns
        self._point = self._recording.point(lambda frame: frame.icount < icount, self._point)
        if saved.refused:
            raise NoRoom(saved.refused)
        self._await_child()
        self._writer.look()
        self._said, saying = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            self._write(saved, icount, saying)
        os.close(saying)
        self._since_ns = time.thread_time_ns()

    def _write(self, saved: Saved, icount: int, saying: int) -> None:
        """In the child: write, and be gone without any of Python's farewells."""
        code = EXIT_FAILED
        try:
            facts, point = self._recording.facts, self._point
            snapshot = Snapshot(
                recording=facts.id,
                number=0,
                icount=icount,
                seq=point.seq,
                inputs=point.inputs,
                chain=point.chain,
                place=point.place,
                memory=self._player.memory.size,
                nodes=(NodeState(CPU_NAME, saved.state),),
                broker=b"",
                label="",
                at=icount,
                made_ns=time.time_ns(),  # noqa: TID251  # for people
                front=saved.front,
                at_ns=saved.virtual_ns,
                work_ns=self._work_ns,
            )
            head = self._add(snapshot, saved)
            os.write(saying, b"%d" % head.number)
            sys.stdout.write(f"{icount} {head.number} {head.bytes}\n")
            sys.stdout.flush()
            code = 0
        except MachineError as error:
            code = _failed(error)
        finally:
            os._exit(code)

    def _add(self, snapshot: Snapshot, saved: Saved) -> Head:
        """With the pages that may have changed since the last one, if that is still there."""
        if not saved.whole and self._number is not None:
            with suppress(MissingSnapshot):
                return self._writer.add(snapshot, self._changed(saved), self._number)
        return self._writer.add(snapshot, self._player.memory.pages(), None)

    def _changed(self, saved: Saved) -> Iterator[tuple[int, bytes]]:
        memory = self._player.memory
        for granule in array("I", saved.granules):
            start, end = granule * saved.granule, min(memory.size, (granule + 1) * saved.granule)
            for page in range(start // PAGE_BYTES, end // PAGE_BYTES):
                yield page, memory.page(page)

    def _await_child(self) -> None:
        child, self._child = self._child, 0
        if not child:
            return
        with open(self._said, "rb") as said:
            number = said.read()
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise told_as(code, "a snapshot could not be written")
        self._number = int(number)


def _failed(error: MachineError) -> int:
    """Say why, to whoever has asked; its exit code."""
    sys.stdout.write(f"{FAILED} {shown_line(str(error))}\n")
    sys.stdout.flush()
    return error.exit_code


def main(argv: Sequence[str]) -> int:
    """Lay them; a line for each: icount, number, bytes.  One for each failure, the first is why."""
    parser = argparse.ArgumentParser(prog="cpu_node.timeline.laying")
    parser.add_argument("recording", type=Path, help="the recording's directory")
    parser.add_argument("--board", type=Path, required=True, help="its board, with the guest's files as they are here")
    parser.add_argument("--every", type=int, required=True, metavar="N", help="instructions between two of them")
    options = parser.parse_args(argv)
    start_diagnostics("snapshots")
    die_with_parent()
    try:
        board = parse_board(options.board.read_text(), str(options.board))
        recording = Recording.open(options.recording)
        Layer(recording, Player(recording, board, Perturbation(), staging=Tracking)).lay(options.every)
    except MachineError as error:
        return _failed(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
