"""`python -m cpu_node.timeline.segment REC`: replay a recording from one snapshot to the next, and compare.

Theory of operation.  A replay from the log needs nothing but the state it begins with and the messages behind it.  So a
recording can be verified in parts, by anybody who has it: each part begins at a snapshot, compares every message on the
way, and comes to the state and the memory that the next snapshot holds.  The last part comes to the recorded end.

Lives here: one part.  Never here: which parts there are (deploy/analysis/).
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from cpu_node.loop import DIGEST_EVERY
from cpu_node.state import UNKNOWN_FLAGS, NodeState
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import CPU_NAME, Player
from machine import vmstate
from machine.analysis.table import make_analysis
from machine.board import PAGE_BYTES, RAM_BASE, parse_board
from machine.errors import Divergence, MachineError
from machine.icount import Icount, Seq, Stamp
from machine.node import die_with_parent, start_diagnostics
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from machine.shown import shown_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.analysis.base import Analysis
    from machine.message import Saved

FOREVER: Final = 1 << 63
TELL_EVERY: Final = DIGEST_EVERY
"""Instructions between two words on how far a part is; the engine stops there anyhow."""


class _Arrived(Exception):
    """This is the part's end: what is due where it ends belongs to the next one."""


class Segment:
    """One part of a recording: from snapshot `first` (0: power-on) to snapshot `last` (0: the end)."""

    def __init__(
        self,
        recording: Recording,
        player: Player,
        last: int,
        analysis: Analysis | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`tell` hears how far it is, in instructions."""
        self._recording = recording
        self._player = player
        self._store = SnapshotStore(recording.path, recording.facts.id)
        self._last = last
        self._analysis = analysis
        self._tell = tell

    def answer(self) -> dict[str, object]:
        """Replay it; what is told of it: nothing, where it is damaged, or the first difference; and where it ended."""
        try:
            damaged = self.run()
        except Divergence as error:
            found = {"divergence": str(error), "at": error.stamp.icount, "seq": error.stamp.seq}
        else:
            found = {"damaged": damaged} if damaged else {}
        return {"icount": self._player.icount, **found}

    def with_found(self, answer: dict[str, object]) -> dict[str, object]:
        """The same with what the analysis has found, if there was no difference."""
        if self._analysis is None or "divergence" in answer:
            return answer
        return {**answer, "found": self._analysis.end(self._player)}

    def run(self) -> str:
        """Replay it, or what can be trusted of it, and then why no more can; Divergence at the first difference."""
        self._stop_along_the_way()
        if not self._last:
            self._player.run_on(FOREVER)
            return self._check_end()
        goal = self._store.read(self._last)
        with suppress(_Arrived):
            if goal.front:
                self._player.keep_at(goal.icount, self._arrived)
            else:
                self._player.keep_asleep(goal.icount, goal.seq, self._arrived)
            return self._ended_early(goal.icount, "the snapshot's place", f"the replay's end at {self._player.icount}")
        return ""

    def _stop_along_the_way(self) -> None:
        """Where the analysis wants to look, or to tell how far it is; not where the part ends."""
        looks = self._analysis.every if self._analysis is not None else 0
        every = looks or TELL_EVERY
        end = self._store.read(self._last).icount if self._last else self._recording.end_icount
        goal = (self._player.icount // every + 1) * every
        told = self._player.icount // TELL_EVERY
        # A stop may overshoot to the next sync point, which must not be that of the next part's snapshot.
        while goal + every < end and self._player.run_on(goal):
            if self._analysis is not None and looks:
                self._analysis.look(self._player)
            if told < self._player.icount // TELL_EVERY:
                told = self._player.icount // TELL_EVERY
                self._tell(self._player.icount)
            goal = (self._player.icount // every + 1) * every

    def _arrived(self, saved: Saved, icount: int) -> NoReturn:
        goal = self._store.read(self._last)
        if icount != goal.icount:
            raise self._difference(goal.icount, f"a sync point at {goal.icount}", f"the next one at {icount}")
        (state,) = (node.state for node in goal.nodes if node.name == CPU_NAME)
        here, there = _of_the_guest(saved.state), _of_the_guest(state)
        if there.float_flags == UNKNOWN_FLAGS:
            here = replace(here, float_flags=UNKNOWN_FLAGS)
        if here != there:
            raise self._difference(icount, f"the CPU's state of snapshot {self._last}", "another one")
        memory = self._player.memory
        page = self._store.differing(self._last, memory.view, memory.extents())
        if page is not None:
            where = f"page {RAM_BASE + page * PAGE_BYTES:#x} as in snapshot {self._last}"
            raise self._difference(icount, where, "other bytes")
        raise _Arrived

    def _check_end(self) -> str:
        end, icount = self._recording.end_icount, self._player.icount
        if not self._recording.clean_end or icount == end:
            return ""
        return self._ended_early(icount, f"the end at {end}", f"the end at {icount}")

    def _ended_early(self, icount: int, expected: str, actual: str) -> str:
        """The log has had no more to say: it is damaged, and why is returned, or this is another run."""
        if self._player.link.damage:
            return str(self._player.link.damage[0])
        raise self._difference(icount, expected, actual)

    def _difference(self, icount: int, expected: str, actual: str) -> Divergence:
        stamp = Stamp(Icount(icount), Seq(self._player.link.seq))
        return Divergence(stamp, CPU_NAME, "snapshot", expected, actual)


def _of_the_guest(state: bytes) -> NodeState:
    """A state without where the engine last ran on from: how often it has been stopped is the host's business."""
    found = vmstate.decode(NodeState, state)
    return replace(found, loop=replace(found.loop, ran_from=0))


def replay_part(
    recording: Recording,
    player: Player,
    last: int,
    words: Sequence[str] | None,
    tell: Callable[[int], None] = lambda _: None,
) -> dict[str, object]:
    """Replay a part to snapshot `last`; what its analysis has found, or the first difference.  UsageError.

    `tell` hears on the way how far it is, in instructions.
    `damaged` says why it could be replayed only up to where the log is damaged.
    """
    analysis = make_analysis(words[0], words[1:]) if words else None
    segment = Segment(recording, player, last, analysis, tell)
    if analysis is None:
        return segment.answer()
    analysis.begin(player)
    if analysis.watched is None:
        return segment.with_found(segment.answer())
    # Imported here: most parts are replayed without.
    from cpu_node.timeline.noting import note_writes  # noqa: PLC0415

    return note_writes(player, analysis, segment.answer, segment.with_found)


def main(argv: Sequence[str]) -> int:
    """Replay one part and say on standard output, in JSON, how it went."""
    parser = argparse.ArgumentParser(prog="cpu_node.timeline.segment")
    parser.add_argument("recording", type=Path, help="the recording's directory")
    parser.add_argument("--board", type=Path, required=True, help="its board, with the guest's files as they are here")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin at this snapshot; 0: at power-on")
    parser.add_argument("--last", type=int, default=0, metavar="N", help="end at this snapshot; 0: at the end")
    parser.add_argument("--analysis", nargs="+", metavar="WORD", help="an analysis and its words (docs/analysis.md)")
    for field in fields(Perturbation):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, help="for tests: a perturbation")
    options = parser.parse_args(argv)
    given = {field.name: getattr(options, field.name) for field in fields(Perturbation)}
    perturbation = Perturbation(**{name: value for name, value in given.items() if value is not None})
    start_diagnostics("segment")
    die_with_parent()
    try:
        board = parse_board(options.board.read_text(), str(options.board))
        recording = Recording.open(options.recording)
        player = Player(recording, board, perturbation, options.first)
        found = replay_part(recording, player, options.last, options.analysis)
    except MachineError as error:
        sys.stderr.write(shown_line(f"segment: {error}") + "\n")
        return error.exit_code
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
