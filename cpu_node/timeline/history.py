"""The history of a recording: where it stands now, marks along the way, and how to get anywhere, backwards too.

Theory of operation.  A mark is a process that stands at a sync point that has been dealt with.  To be at an
instruction, the nearest mark before it is forked and the fork runs there exactly.  An instruction count may be where
the CPU stands several times, when a trap, an interrupt or the firmware comes in between; the program counter tells
these apart, for none comes twice.  `first` is the one where the count was reached.

Going back to a breakpoint or watchpoint: from each mark, the last first, a fork runs up to the next one and notes the
last point that it meets.  Two run at a time.

Lives here: positions.  Never here: what gdb says.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from cpu_node._engine import HIT_BREAK
from cpu_node.debugger import GDB, Hit, Order, Stop, Why
from cpu_node.timeline.forward import PACE, Pace, forward
from cpu_node.timeline.marks import Marks
from cpu_node.timeline.replica import NO_POINTS, Replica
from cpu_node.timeline.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpu_node.debugger import Watch
    from cpu_node.timeline.entries import Entries
    from cpu_node.timeline.replica import Points

NEAR: Final = (1 << 23, 1 << 20, 1 << 17)
"""Marks are left that far before where somebody went to: going back from there is probable."""
SIDE_BY_SIDE: Final = 2
"""Windows that are searched at the same time; more would not be faster on fewer processors."""


class Interrupted(Exception):
    """Whoever waits for the history wants it to stop."""


class Patience(Protocol):
    """Whoever waits."""

    def wait(self, replicas: Sequence[Replica]) -> Replica:
        """The first of these that has something to say; Interrupted."""


class History:
    """One recording, from power-on to its end."""

    def __init__(
        self, origin: Replica, end_icount: int, patience: Patience, entries: Entries, pace: Pace = PACE
    ) -> None:
        self.begin_icount = origin.icount
        self._entries = entries
        self._marks = Marks(origin)
        self._patience = patience
        self._pace = pace
        self.end_icount = end_icount
        self.present = origin.fork()
        self.present.first = True

    def close(self) -> None:
        """End every process."""
        self.present.end()
        self._marks.close()

    def forward(self, points: Points, *, step: bool) -> Stop:
        """To the next point, or one instruction on; END where the recording is over."""
        present = self.present
        if step:
            before = present.icount
            present.resume(Order(step=True), points)
            stop = self._interruptible(present)
            present.first = stop.why is Why.STEP and stop.icount > before
            return stop
        self.present = forward(present, points, self._interruptible, self._leave_mark, self._pace)
        return self.present.stop

    def seek(self, icount: int) -> Stop:
        """To an instruction; Interrupted, and it stands where it stood."""
        self._move(self._land(icount))
        return self.present.stop

    def back_step(self, watches: Sequence[Watch] = ()) -> Stop:
        """To the instruction before; BEGIN at power-on; Interrupted.

        Where going back undoes an access that is watched, that is told first, with WATCH, and nothing moves: gdb takes
        its watchpoints away, and steps.
        """
        before = self._before()
        if before is None:
            return self._as(Why.BEGIN)
        try:
            hit = self._reached(before, watches) if watches else None
        except Interrupted:
            before.end()
            raise
        if hit is not None:
            before.end()
            return self._as(Why.WATCH, hit)
        self._move(before)
        return self._as(Why.STEP)

    def back_to_point(self, points: Points) -> Stop:
        """To the last point before; BEGIN if there is none; Interrupted, and it stands where it stood."""
        now = self.present.stop
        hit = self._within_instruction(now, points)
        if hit is None:
            hit = self._search(points, now)
        if hit is None:
            self._move(self._land(self.begin_icount))
            return self._as(Why.BEGIN)
        if hit.kind == HIT_BREAK:
            self._move(self._onto(hit))
            return self._as(Why.BREAK, hit)
        self._move(self._behind(hit, points))
        return self._as(Why.WATCH, hit)

    def unmoved(self) -> Stop:
        """Where it stands, after going back has been interrupted."""
        return self._as(Why.INTERRUPT)

    def go_to(self, replica: Replica) -> Stop:
        """To where a replica stands that is kept elsewhere."""
        self._move(replica.fork())
        return self.present.stop

    def _leave_mark(self, replica: Replica) -> None:
        self._marks.add(replica.fork(), replica.icount)

    def _as(self, why: Why, hit: Hit | None = None) -> Stop:
        stop = self.present.stop
        self.present.stop = Stop(why, stop.icount, stop.pc, hit, stop.now_ns, stop.seq)
        return self.present.stop

    def _move(self, replica: Replica) -> None:
        self.present.end()
        self.present = replica
        self._marks.thin(replica.icount)
        _reap()

    def _interruptible(self, replica: Replica) -> Stop:
        """Wait for a replica; whoever is impatient has it stop where it has come to."""
        try:
            self._patience.wait((replica,))
        except Interrupted:
            replica.interrupt()
            stop = replica.take()
            if stop.why in (Why.PAUSED, Why.TOUCHED):  # there it stood when the interrupt came
                replica.stop = stop = replace(stop, why=Why.INTERRUPT)
            return stop
        return replica.take()

    def _run(self, replica: Replica, order: Order, points: Points = NO_POINTS) -> Stop:
        """Have a replica run; Interrupted, and it is gone."""
        replica.resume(order, points)
        try:
            self._patience.wait((replica,))
        except Interrupted:
            replica.end()
            raise
        return replica.take()

    def _land(self, icount: int, pc: int | None = None) -> Replica:
        """A replica that stands at an instruction count for the first time, or at a program counter there."""
        replica = self._enter(icount)
        for distance in NEAR:
            if icount - distance >= replica.icount + distance:
                self._run(replica, Order(pause_at=icount - distance))
                if replica.icount >= icount:  # no sync point for so long
                    replica.end()
                    replica = self._marks.before(icount).fork()
                    break
                self._marks.add(replica.fork(), icount)
        if replica.icount < icount:
            self._run(replica, Order(until=icount))
        replica.first = True
        if pc is not None and replica.stop.pc != pc:
            self._run(replica, Order(until=icount + 1), ((pc,), ()))
        return replica

    def _enter(self, icount: int) -> Replica:
        """A fork of the last mark in front of an instruction; where that is far away, one is made of a snapshot."""
        mark = self._marks.before(icount)
        entry = self._entries.between(mark.icount, icount)
        if entry is None:
            return mark.fork()
        replica = entry.fork()
        self._marks.add(entry, icount)
        return replica

    def _before(self) -> Replica | None:
        """A replica that stands in the place before the present one; None at power-on."""
        now = self.present.stop
        if not self.present.first:
            found = self._land(now.icount)
            if found.stop.pc != now.pc:
                return self._last_before(found, now.icount, now.pc)
            if self.present.served:
                return found
            found.end()
        if now.icount <= self.begin_icount:
            return None
        return self._last_before(self._land(now.icount - 1), now.icount, now.pc)

    def _reached(self, before: Replica, watches: Sequence[Watch]) -> Hit | None:
        """What is met of these on the way from the place before to the next."""
        probe = before.fork()
        self._run(probe, Order(step=True), ((), watches))
        stop = probe.stop
        probe.end()
        return stop.hit if stop.why is Why.WATCH else None

    def _last_before(self, replica: Replica, icount: int, pc: int) -> Replica:
        """Where the CPU stands last before it stands at a place; the replica stands before that."""
        previous = replica
        while True:
            following = previous.fork()
            self._run(following, Order(step=True))
            if following.icount >= icount and (following.icount > icount or following.stop.pc == pc):
                following.end()
                return previous
            if following.icount == icount and previous.icount < icount:
                # The count is reached, at another place than the one we came from.
                following.end()
                return previous
            if following.stop.why in (Why.END, Why.DIVERGED):
                following.end()
                return previous
            previous.end()
            previous = following

    def _onto(self, hit: Hit) -> Replica:
        """A replica that has run onto a breakpoint: behind what has come in there, as going forward is."""
        if hit.icount <= self.begin_icount:
            return self._land(hit.icount, hit.pc)
        replica = self._land(hit.icount - 1)
        while replica.icount < hit.icount:
            self._run(replica, Order(until=hit.icount + 1), ((hit.pc,), ()))
        return replica

    def _behind(self, hit: Hit, points: Points) -> Replica:
        """A replica that stands behind an access that has been met: gdb undoes it by itself, and compares."""
        if not hit.between:
            return self._land(hit.icount + 1)
        if hit.device == GDB:  # a place is behind what gdb has changed there
            return self._land(hit.icount, hit.pc)
        replica = self._land(hit.icount)
        self._run(replica, Order(step=True), ((), points[1]))
        return replica

    def _within_instruction(self, now: Stop, points: Points) -> Hit | None:
        """The last point at the same instruction count, where the CPU stood before or a device has written."""
        if self.present.first or not any(points):
            return None
        replica, hit = self._land(now.icount), None
        arrived = False
        while not arrived and replica.icount == now.icount:
            arrived = replica.stop.pc == now.pc or replica.stop.why in (Why.END, Why.DIVERGED)
            if not arrived and replica.stop.pc in points[0]:
                hit = Hit(HIT_BREAK, now.icount, replica.stop.pc, replica.stop.pc, 0)
            self._run(replica, Order(step=True), ((), points[1]))
            if replica.served:
                hit = replica.stop.hit
                self._run(replica, Order(step=True))
        replica.end()
        return hit

    def _search(self, points: Points, now: Stop) -> Hit | None:
        """The last point in front of the present, window by window."""
        if not any(points):
            return None
        starts = self._marks.all_before(now.icount)
        ends: list[Replica | None] = [*starts[1:], None]
        windows = list(zip(starts, ends, strict=True))
        running: list[Scan] = []
        try:
            while windows or running:
                while windows and len(running) < SIDE_BY_SIDE:
                    start, end = windows.pop()
                    running.append(Scan(start, now.icount if end is None else end.icount, points, exact=end is None))
                found = self._patience.wait([scan.replica for scan in running])
                next(scan for scan in running if scan.replica is found).take()
                while running and running[0].done:
                    scan = running.pop(0)
                    marks = scan.close()
                    if scan.hit is None:
                        _end_all(marks)
                        continue
                    for mark in marks:
                        self._marks.add(mark, scan.hit.icount)
                    return scan.hit
            return None
        finally:
            for scan in running:
                _end_all(scan.close())


def _end_all(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        replica.end()


def _reap() -> None:
    """Forget children that have ended; those of forks come to us when their parents are gone."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
