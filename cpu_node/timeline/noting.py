"""Notes who writes to a range of memory while a part of a recording is replayed: a debugger that never holds the CPU.

Theory of operation.  As in forward.py: a scout, a fork, replays ahead without watchpoints until a page of theirs is
touched.  Then this process follows it to the last place before, and from there notes each write for a while.  A scout
that comes to the end of the part has replayed it, with all that had been noted before: its answer is the part's.

Lives here: from the engine's watchpoints to an analysis.  Never here: what it makes of them (machine/analysis/).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NoReturn

from cpu_node._engine import HIT_DEVICE, HIT_WRITE
from cpu_node.debugger import Debugger, Hit, Order, Standing, Stop, Why
from cpu_node.timeline.channel import end_of_process
from cpu_node.timeline.forward import PACE
from machine.analysis.base import Write
from machine.node import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cpu_node.timeline.player import Player
    from machine.analysis.base import Analysis

    Answer = dict[str, Any]


class _Answered(Exception):
    """A scout has come to the end of the part."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def note_writes(
    player: Player,
    analysis: Analysis,
    replay: Callable[[], Answer],
    finish: Callable[[Answer], Answer],
) -> Answer:
    """Have an analysis hear of every write to what it watches, behind the write, while `replay` does the part.

    What `finish` makes of what that has returned, in whose process it has come to the end.
    """
    assert analysis.watched is not None
    noter = Noter(player, analysis, analysis.watched)
    try:
        answer = replay()
        noter.look_about()
        answer = finish(answer)
    except _Answered as answered:
        return answered.answer
    except BaseException:
        noter.end_scout()
        raise
    noter.tell_answer(answer)
    return answer


class Noter(Debugger):
    """Tells an analysis of every write to what it watches."""

    def __init__(self, player: Player, analysis: Analysis, watched: tuple[int, int]) -> None:
        """`watched`: first byte and how many of guest physical memory."""
        super().__init__(Standing(player.arch, player.cpu, player.memory, player.clock), player.cpu)
        self._player = player
        self._analysis = analysis
        address, size = watched
        self._watches = ((address, address + size - 1, HIT_WRITE),)
        self._slowly = PACE.slowly
        self._orders = self._next_orders()
        self._pipe: int | None = None
        self.interrupted = True  # before the first instruction, so that the engine is told how to go on
        player.attend(self)

    @property
    def scouting(self) -> bool:
        """This is a scout's process."""
        return self._pipe is not None

    def attend(self) -> None:
        """Nobody asks for a stop."""

    def between(self, *, begun: bool) -> None:
        """See Debugger; a scout looks about here."""
        self.look_about()
        super().between(begun=begun)

    def device_wrote(self, device: str, address: int, size: int, in_access: bool) -> None:
        """Tell it at once: where the CPU stands, devices may write several times."""
        super().device_wrote(device, address, size, in_access)
        hit, self._device_hit = self._device_hit, None
        if hit is not None:
            self._tell(hit)

    def stand(self, stop: Stop) -> Order:
        """Tell what the CPU has written, and go on; or where it has been told to come to, further."""
        if stop.why is not Why.WATCH:
            return next(self._orders)
        if stop.hit is not None and not stop.hit.kind & HIT_DEVICE:
            self._tell(stop.hit)
        return Order(pause_at=self._order.pause_at)

    def look_about(self) -> None:
        """If this is a scout: should a page have been touched, say so, and be gone."""
        guards, icount = self._player.guards, self._native.icount
        if self.scouting and guards.look(icount):
            self._say({"clean": guards.clean, "touched": icount})

    def tell_answer(self, answer: Answer) -> None:
        """If this is a scout: it is the part's answer."""
        if self.scouting:
            self._say({"answer": answer})

    def end_scout(self) -> None:
        """If this is a scout: there is no answer, and who has sent it will see for himself."""
        if self.scouting:
            end_of_process(1)

    def _tell(self, hit: Hit) -> None:
        self._analysis.written(self._player, Write(hit.icount, hit.pc, hit.address, hit.size, hit.device))

    def _next_orders(self) -> Iterator[Order]:
        """How it goes on, from the beginning, and each time where the order before has led to."""
        # Who looks along the way may do something there, which must be done once.
        while not self._analysis.every and (found := self._send_scout()) is not None:
            here, clean = self._native.icount, found["clean"]
            if clean > here:
                self.standing.set_points((), ())
                yield Order(pause_at=clean)
            # Where a scout has gone far it was not for nothing.
            self._slowly = PACE.slowly if clean - here > self._slowly else PACE.slower(self._slowly)
            self.standing.set_points((), self._watches)
            yield Order(pause_at=found["touched"] + self._slowly)
        if self.scouting:
            self.standing.set_points((), ())
            yield Order()
        self.standing.set_points((), self._watches)
        yield Order()

    def _send_scout(self) -> Answer | None:
        """What a scout has to say that sets out from here: where a page was touched; None if there is none to say it.

        In the scout, None.  _Answered if it has come to the end.
        """
        reading, writing = os.pipe()
        with open(reading, "rb") as pipe:
            try:
                scout = os.fork()
            except OSError:
                os.close(writing)
                return None
            if scout == 0:
                self._be_scout(writing)
                return None
            os.close(writing)
            said = pipe.read()
        if os.waitpid(scout, 0)[1]:
            return None
        found: Answer = json.loads(said)
        if "answer" in found:
            raise _Answered(found["answer"])
        return found

    def _be_scout(self, pipe: int) -> None:
        die_with_parent()
        self._pipe = pipe
        self._player.guards.set(self._watches, self._native.icount)

    def _say(self, message: Answer) -> NoReturn:
        assert self._pipe is not None
        with open(self._pipe, "w", encoding="utf-8") as pipe:
            json.dump(message, pipe)
        os._exit(0)
