"""What the broker says to nodes in one turn of its loop, gathered so that each gets it in one message.

Lives here: whom a frame goes to.  Never here: why it is said.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from machine.codec import encode, encode_header, type_of
from machine.frame import Frame
from machine.icount import BROKER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine import message as m
    from machine.traffic import Traffic
    from replay_broker.roster import Roster


class Outbox:
    """`tell_node` sends parts to a ZeroMQ identity; `note` hears of every frame that goes to a node."""

    def __init__(
        self, roster: Roster, tell_node: Callable[[bytes, Sequence[bytes]], None], note: Callable[[Frame], None]
    ) -> None:
        self._roster = roster
        self._tell_node = tell_node
        self._note = note
        self._outgoing: dict[bytes, list[bytes]] = defaultdict(list)
        self.traffic: Traffic | None = None
        """Counts messages by type, for who was asked for metrics."""
        self.detours: dict[int, Callable[[Frame], None]] = {}
        """What is done with frames for a node that is not as far yet."""

    def tell(self, identity: bytes, message: m.Message) -> None:
        """Say something to whoever is behind an identity, a node or not."""
        frame = Frame(type_of(type(message)), BROKER, self._roster.numbers.get(identity, 0), 0, encode(message))
        self._outgoing[identity] += (encode_header(frame), frame.payload)

    def say(self, message: m.Message, target: int) -> None:
        """Tell a node something that is not logged."""
        self.queue(Frame(type_of(type(message)), BROKER, target, 0, encode(message)))

    def queue(self, frame: Frame) -> None:
        """A frame for a node.  What one that is gone should hear is in its past."""
        detour = self.detours.get(frame.target)
        if detour is not None:
            detour(frame)
        else:
            self.send(frame)

    def send(self, frame: Frame) -> None:
        """The same, whatever the node has come to."""
        member = self._roster.by_number(frame.target)
        if member is not None and member.identity is not None and member.ready:
            self._note(frame)
            if self.traffic is not None:
                self.traffic.sent(frame.type, len(frame.payload))
            self._outgoing[member.identity] += (encode_header(frame), frame.payload)

    def flush(self) -> None:
        """Send what has been said."""
        for identity, parts in self._outgoing.items():
            self._tell_node(identity, parts)
        self._outgoing.clear()
