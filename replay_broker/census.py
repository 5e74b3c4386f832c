"""How each process of the machine does, for those who watch: rates, queues, whom the machine waits for.

Lives here: the host's clock for people.  Never here: anything that a guest or a recording could see.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replay_broker.outcome import Outcome
    from replay_broker.roster import Member, Roster
    from replay_broker.session.base import Session

log = logging.getLogger("dejavm")

SAMPLE_NS: Final = 1_000_000_000
NS_PER_S: Final = 1_000_000_000
SHOWN_NS: Final = 1_000_000_000
"""A shorter wait is nobody's business."""
MENTIONED_NS: Final = 2_000_000_000
"""The first wait that has a line in the diagnostics; each further one says twice as long."""
_ANSWERED: Final = frozenset(
    type_of(cls)
    for cls in (
        m.MmioAccess, m.TimerExpired, m.HostInput, m.Reset, m.StateRequest, m.Kick, m.Settle, m.Pause,
        m.DmaRead, m.DmaData, m.ClockReading, m.Entropy, m.BackendResult,
    )
)  # fmt: skip
"""Behind these the machine goes on when the one who got it has spoken."""
_DMA_DATA: Final = type_of(m.DmaData)
_NOTHING: Final = Frame(0, BROKER, BROKER, 0, b"")


@dataclass(slots=True)
class _Sample:
    at_ns: int
    icount: int = 0
    messages: int = 0
    heard: dict[str, int] = field(default_factory=dict)


class Census:
    """Looks once a second, and at every turn of the broker's loop whether somebody keeps the machine waiting."""

    def __init__(
        self, roster: Roster, clock: Callable[[], int] = time.monotonic_ns, *, lost: Callable[[], str] = str
    ) -> None:
        """`lost`: who has no process, as waiting_for() has it."""
        self._roster = roster
        self._lost = lost
        self._clock = clock
        self._new = self._old = _Sample(clock())
        self.last = _NOTHING
        """What was last sent to a node."""
        self._asked = _NOTHING
        self._asked_heard = 0
        self._since_ns = self._new.at_ns
        self._mention_ns = MENTIONED_NS
        self._debugged = False
        """A debugger holds the CPU: it answers when it is let go, and nobody is to wonder."""
        self.host = os.uname().nodename
        self.metrics = ""
        self.remote_bytes = 0
        """Of answers to devices on other hosts."""
        self.backends: Callable[[], Mapping[str, str]] = dict

    def tick(self, session: Session) -> None:
        """Time has passed."""
        now_ns = self._clock()
        self._debugged = session.debugged
        if now_ns - self._new.at_ns >= SAMPLE_NS:
            heard = {member.name: member.heard for member in self._roster.members.values()}
            self._old, self._new = self._new, _Sample(now_ns, session.icount, session.messages, heard)
        self._watch(now_ns)

    def relayed(self, frame: Frame) -> None:
        """A read of guest memory has passed by, or its answer."""
        if frame.type == _DMA_DATA:
            self.remote_bytes += len(frame.payload)

    def waiting_for(self) -> str:
        """`nic0 (12 s)`; "" when nobody keeps the machine waiting."""
        member = self._awaited()
        if member is None:
            return self._lost()
        return f"{member.name} ({(self._clock() - self._since_ns) // NS_PER_S} s)"

    def rates(self, session: Session) -> tuple[int, int]:
        """Instructions and messages in a second, lately."""
        span_ns = max(1, self._clock() - self._old.at_ns)
        icount, messages = session.icount - self._old.icount, session.messages - self._old.messages
        return max(0, icount) * NS_PER_S // span_ns, max(0, messages) * NS_PER_S // span_ns

    def status(
        self, session: Session | None, outcome: Outcome | None, mode: m.RunMode, refused: int, waiting_for: str, *,
        nodes: bool,
    ) -> m.Status:  # fmt: skip
        """How the machine is, whose broker `refused` so many messages; with `nodes`, how each process is."""
        alive = m.RunState.STARTING if session is None else m.RunState.RUNNING
        rates = self.rates(session) if session is not None and outcome is None else (0, 0)
        return m.Status(
            state=outcome.state if outcome else alive,
            icount=session.icount if session else 0,
            end_icount=session.end_icount if session else 0,
            messages=session.messages if session else 0,
            inputs=session.inputs if session else 0,
            digest=outcome.digest if outcome else b"",
            detail=outcome.detail if outcome else "",
            power_off_reason=outcome.reason if outcome else m.PowerOffReason.OUTSIDE,
            waiting_for="" if outcome else waiting_for,
            refused=refused,
            icount_per_s=rates[0],
            messages_per_s=rates[1],
            remote_bytes=self.remote_bytes,
            mode=mode,
            nodes=self.nodes(session) if nodes else (),
            held=session.held if session is not None and outcome is None else "",
        )

    def nodes(self, session: Session | None) -> tuple[m.NodeStatus, ...]:
        """Every process, the broker first."""
        waiting = session.waiting() if session is not None else {}
        broker = m.NodeStatus(
            "broker", m.NodeState.READY, self.host, os.getpid(), waiting=sum(waiting.values()), metrics=self.metrics
        )
        members = self._roster.members.values()
        return (broker, *(self._node(member, waiting) for member in members))

    def _node(self, member: Member, waiting: Mapping[int, int]) -> m.NodeStatus:
        span_ns = max(1, self._clock() - self._old.at_ns)
        state = m.NodeState.READY if member.ready else m.NodeState.STARTING
        if member.identity is None:
            state = m.NodeState.MISSING
        elif member is self._awaited():
            state = m.NodeState.AWAITED
        return m.NodeStatus(
            name=member.name,
            state=state,
            host=member.host,
            # One that has died has no process, whatever its number was.
            pid=member.pid if member.identity is not None else 0,
            messages=member.heard,
            messages_per_s=max(0, member.heard - self._old.heard.get(member.name, 0)) * NS_PER_S // span_ns,
            waiting=waiting.get(member.number, 0),
            backend=self.backends().get(member.name, "") if member.number != CPU else "",
            metrics=member.metrics,
        )

    def _awaited(self) -> Member | None:
        """The node that has been asked and has been silent for longer than a moment."""
        member = self._silent()
        return member if member is not None and self._clock() - self._since_ns >= SHOWN_NS else None

    def _silent(self) -> Member | None:
        """The node that was asked at the last tick, has not spoken since, and was asked nothing else."""
        if self._asked is not self.last or self._asked.type not in _ANSWERED:
            return None
        if self._debugged and self._asked.target == CPU:
            return None
        member = self._roster.by_number(self._asked.target)
        return member if member is not None and member.heard == self._asked_heard else None

    def _watch(self, now_ns: int) -> None:
        member = self._silent()
        if member is None:
            if self._mention_ns > MENTIONED_NS:
                log.warning("it goes on after %.1f s", (now_ns - self._since_ns) / NS_PER_S)
            self._mention_ns = MENTIONED_NS
            self._asked, self._since_ns = self.last, now_ns
            asked = self._roster.by_number(self.last.target)
            self._asked_heard = asked.heard if asked is not None else 0
        elif now_ns - self._since_ns >= self._mention_ns:
            log.warning("waiting for %s (%d s)", member.name, (now_ns - self._since_ns) // NS_PER_S)
            self._mention_ns *= 2
