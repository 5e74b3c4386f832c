"""Processes of the machine that die while it runs: noticed, waited for, told to whoever listens, given up.

Lives here: how long, how often.  Never here: what a successor is told (past.py).
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.errors import MachineError
from replay_broker.barrier import SHOWN_S
from replay_broker.past import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.frame import Frame
    from replay_broker.past import Retelling
    from replay_broker.roster import Member

log = logging.getLogger("dejavm")

SUCCESSOR_S: Final = 60.0
"""How long another process of the name may take to come and to be as far as the one that died."""
LAST_WORD_S: Final = 5.0
"""How long who started a process may take to say how it ended, where it is not rebuilt."""
TRIES: Final = 3
"""Deaths at one message, or before a successor was as far as its predecessor."""
BARREN: Final = 10
"""Deaths of a node's processes in a row, each within a minute of the one before, and in all that time no message."""
BARREN_S: Final = 60.0
MS: Final = 1000
_HINT: Final = "has the host no memory left? it is not rebuilt again"
LOST: Final = "DEJAVM_NODE_LOST"
BACK: Final = "DEJAVM_NODE_BACK"


@dataclass(slots=True)
class Loss:
    """A node without a process, or with one that is not as far yet."""

    member: Member
    since_s: float
    pid: int
    retelling: Retelling | None = None
    doomed: bool = False


@dataclass(slots=True)
class _Barren:
    """Deaths that follow each other and no message between."""

    messages: int
    last_s: float = 0.0
    times: int = 0

    def count(self, messages: int) -> int:
        """Another one."""
        now_s = time.monotonic()
        goes_on = messages != self.messages or now_s - self.last_s > BARREN_S
        self.times = 1 if goes_on else self.times + 1
        self.messages, self.last_s = messages, now_s
        return self.times


class Losses:
    """Who has died, and who stands in; `tell` takes each event's name and data."""

    def __init__(self, tell: Callable[[str, Mapping[str, object]], None], patience_s: float = SUCCESSOR_S) -> None:
        self._tell = tell
        self._patience_s = patience_s
        self._watched: dict[int, tuple[Member, int]] = {}
        """By descriptor: the node, and the process it is of."""
        self._lost: dict[int, Loss] = {}
        self._deaths: dict[int, tuple[int, int]] = {}
        """By node number: the message it died at last, and how often in a row."""
        self._barren: dict[int, _Barren] = {}
        self._epoll = select.epoll()
        self.rebuilt: Counter[str] = Counter()
        """How often another process has stood in for a node's."""
        self.final = False
        """Nobody stands in for anybody."""
        self.waited_s = 0.0
        """How long the machine was without a process, all in all."""

    def watch(self, member: Member) -> None:
        """Notice the end of a node's process, where it is one of this host's."""
        try:
            self._note(member, os.pidfd_open(member.pid))
        except ProcessLookupError:
            # It has died since it said Hello, and whoever started it has cleared it away.
            self.sever(member)
        except (OSError, OverflowError):
            return

    def sever(self, member: Member) -> None:
        """A node's process is no more, or is about to end."""
        self._note(member, os.eventfd(1, os.EFD_CLOEXEC))  # readable at once

    def _note(self, member: Member, descriptor: int) -> None:
        self._watched[descriptor] = (member, member.pid)
        self._epoll.register(descriptor, select.EPOLLIN)

    @property
    def descriptor(self) -> int:
        """What becomes readable when a process dies."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Watch nobody any more."""
        for descriptor in self._watched:
            os.close(descriptor)
        self._watched.clear()
        self._epoll.close()

    def died(self) -> list[Member]:
        """Nodes whose process has ended since last time."""
        members = []
        for descriptor, _ in self._epoll.poll(0):
            member, pid = self._watched.pop(descriptor)
            self._epoll.unregister(descriptor)
            os.close(descriptor)
            # What whoever started it has told already is not news; neither is the end of one long replaced.
            if member.pid == pid and member.identity is not None:
                members.append(member)
        return members

    def doom(self, member: Member) -> None:
        """A node's process has died in a run that cannot go on without it; whoever started it may say more."""
        self._lost[member.number] = Loss(member, self._late_s(), member.pid, doomed=True)

    def close_the_book(self) -> None:
        """Nobody comes any more in the place of those who die, or have died, and nobody says how they did."""
        self.final = True
        for loss in self._lost.values():
            loss.since_s, loss.doomed = min(loss.since_s, self._late_s()), True

    def _late_s(self) -> float:
        """Since when a node has to be missing for a last word to be all that there is time for."""
        return time.monotonic() - self._patience_s + (0.0 if self.final else LAST_WORD_S)

    def lose(self, member: Member, at: Frame | None, icount: int, messages: int) -> None:
        """A node's process has died while it was at a message, or at none.  MachineError if that was once too often.

        `messages`: how many the run has had.
        """
        number = member.number
        again = self._lost.pop(number, None)
        seq = at.seq if at is not None else 0
        last, times = self._deaths.get(number, (0, 0))
        same = again is not None or (seq and seq == last)
        times = times + 1 if same else 1
        self._deaths[number] = (seq, times)
        log.warning("%s: its process %d has died %s; it is rebuilt", member.name, member.pid, describe(at))
        self._lost[number] = Loss(member, again.since_s if again else time.monotonic(), member.pid)
        self._tell(LOST, {"node": member.name, "pid": member.pid, "icount": icount})
        if times >= TRIES:
            raise MachineError(f"{member.name} has died {times} times {describe(at)}; it is not rebuilt again")
        barren = self._barren.setdefault(number, _Barren(messages))
        if barren.count(messages) >= BARREN:
            raise MachineError(f"{member.name} has died {BARREN} times, and in between nothing went on; {_HINT}")

    def is_lost(self, number: int) -> bool:
        """Whether a node has no process that is as far as it was."""
        return number in self._lost

    def waiting_for(self) -> str:
        """`cpu (12 s)`: who has been without a process for longer than a moment; "" if nobody has."""
        waits = [(loss.since_s, loss.member.name) for loss in self._lost.values() if not loss.doomed]
        since_s, name = min(waits, default=(time.monotonic(), ""))
        waited_s = time.monotonic() - since_s
        return f"{name} ({int(waited_s)} s)" if waited_s >= SHOWN_S else ""

    def retelling(self, number: int) -> Retelling | None:
        """What the successor of a node is being told."""
        loss = self._lost.get(number)
        return loss.retelling if loss is not None else None

    def begin(self, number: int, retelling: Retelling) -> None:
        """A successor is there."""
        self._lost[number].retelling = retelling

    def find(self, number: int, icount: int, messages: int) -> None:
        """A successor is as far as its predecessor was, by so many messages."""
        loss = self._lost.pop(number)
        pause_s = time.monotonic() - loss.since_s
        pause_ms = round(pause_s * MS)
        name, pid = loss.member.name, loss.member.pid
        self.rebuilt[name] += 1
        self.waited_s += pause_s
        log.warning("%s: process %d stands in for it after %d ms, %d messages", name, pid, pause_ms, messages)
        data = {"node": name, "pid": pid, "icount": icount, "pause-ms": pause_ms, "messages": messages}
        self._tell(BACK, data)

    def check(self) -> None:
        """MachineError, or Divergence, when a successor takes too long."""
        now_s = time.monotonic()
        for loss in self._lost.values():
            if now_s - loss.since_s <= self._patience_s:
                continue
            if loss.retelling is not None and not loss.retelling.over:
                raise loss.retelling.silent()
            name, pid = loss.member.name, loss.pid
            if loss.doomed:
                raise MachineError(f"{name}: its process {pid} has died")
            raise MachineError(f"{name}: its process {pid} has died, and no other came within {self._patience_s:.0f} s")
