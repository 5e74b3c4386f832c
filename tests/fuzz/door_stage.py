"""The broker's server with nobody behind its sockets: what a stranger says is put in, what goes out is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import encode, encode_header, type_of
from machine.frame import Frame
from machine.icount import BROKER
from replay_broker.roster import Roster
from replay_broker.server import Server
from replay_broker.session.record import RecordSession
from tests.unit.replay_broker.stage import BOARD, TalliedLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAMES = ("cpu", *(slot.name for slot in BOARD.devices))
LIMIT = 2_000
"""What one stranger may make the broker say."""


class NoSockets:
    """replay_broker/sockets.py without ZeroMQ: counts what is told to whom."""

    def __init__(self) -> None:
        self.told: dict[bytes, int] = {}
        self.refuse: Callable[[str], None] = lambda _: None

    def tell_node(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Count it."""
        self.told[identity] = self.told.get(identity, 0) + 1

    def tell_client(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Count it."""
        self.told[identity] = self.told.get(identity, 0) + 1

    def user_of_new(self, identity: bytes) -> str:
        """Everybody is of this host."""
        return ""

    def watch(self, descriptor: int) -> None:
        """Nobody waits."""

    def wait(self, timeout_ms: int) -> None:
        """Nothing comes by itself."""

    def is_ready(self, descriptor: int) -> bool:
        """Nothing is."""
        return False

    def bus(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """Nothing comes by itself."""
        return iter(())

    control = bus

    def close(self) -> None:
        """Nothing is open."""


class DoorStage:
    """A machine that runs, and its door."""

    def __init__(self) -> None:
        self.ledger = TalliedLedger()
        self.sockets = NoSockets()
        self.server = Server(
            self.sockets,  # type: ignore[arg-type]  # the part of it that is used
            Roster.of(NAMES),
            m.RunMode.RECORD,
            lambda send: RecordSession(BOARD, send, self.ledger),
        )
        for name in NAMES:
            hello = m.Hello(m.WIRE_VERSION, name, 1, "memory" if name == "cpu" else "")
            self.say(name.encode(), hello)
        for name in NAMES:
            self.say(name.encode(), m.Ready())
        assert self.server.session is not None

    def say(self, identity: bytes, message: m.Message) -> None:
        """A whole message."""
        frame = Frame(type_of(type(message)), 0, BROKER, 0, encode(message))
        self.knock(identity, (encode_header(frame), frame.payload))

    def knock(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Anything, at the bus."""
        self.server._drain([(identity, parts)], self.server._on_bus)

    def ask(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Anything, at the control socket."""
        self.server._drain([(identity, parts)], self.server._clients.take)

    def close(self) -> None:
        """Nobody's process is watched any more."""
        self.server.rebuilder.close()

    def unharmed(self) -> bool:
        """Whether the machine runs on, and nothing was recorded."""
        return self.server.outcome is None and self.ledger.messages == 0
