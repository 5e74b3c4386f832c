"""A process of the timeline as the keeper of the history sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node.debugger import GDB
from cpu_node.timeline.channel import Channel, order_as_message, stop_of
from machine.errors import told_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpu_node.debugger import Order, Stop, Watch
    from cpu_node.timeline.channel import Message

Points = tuple["Sequence[int]", "Sequence[Watch]"]
NO_POINTS: Points = ((), ())


class Replica:
    """Stands at `stop`; while it runs that is where it ran from."""

    def __init__(self, channel: Channel, stop: Stop) -> None:
        self.channel = channel
        self.stop = stop
        self.first = False
        """It stands where its instruction count was first reached."""

    @classmethod
    def arriving(cls, channel: Channel) -> Replica:
        """One that is about to say where it stands; MachineError says why it cannot."""
        message, _ = channel.receive()
        if "failed" in message:
            raise told_as(message["code"], message["failed"])
        return cls(channel, stop_of(message))

    @property
    def served(self) -> bool:
        """It stands behind what a device has written at a sync point, and no instruction further."""
        hit = self.stop.hit
        return (
            hit is not None
            and hit.between
            and hit.device != GDB
            and (hit.icount, hit.pc) == (self.stop.icount, self.stop.pc)
        )

    @property
    def icount(self) -> int:
        """Where it stands."""
        return self.stop.icount

    def fork(self) -> Replica:
        """Another one that stands in the same place."""
        channel, theirs = Channel.pair()
        with theirs:
            self.channel.send({"fork": True}, theirs)
        replica = Replica.arriving(channel)
        replica.first = self.first
        return replica

    def resume(self, order: Order, points: Points = NO_POINTS) -> None:
        """Let it run; take() says where it has come to."""
        self.first = False
        self.channel.send({**order_as_message(order), "breaks": points[0], "watches": points[1]})

    def interrupt(self) -> None:
        """Have it stand at its next sync point, if it runs."""
        self.channel.send({"interrupt": True})

    def take(self) -> Stop:
        """Where it stands after resume(), waiting for it."""
        message, _ = self.channel.receive()
        self.stop = stop_of(message)
        return self.stop

    def ask(self, **request: object) -> Message:
        """Look at it."""
        self.channel.send(request)
        return self.channel.receive()[0]

    def end(self) -> None:
        """It is not needed any more."""
        self.channel.close()
