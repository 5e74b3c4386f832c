"""A process on the timeline that stands somewhere, is looked at, goes on as it is told, and can be forked.

Theory of operation.  Each such process has one channel to whoever keeps the history (replica.py).  A fork gets a
channel of its own and stands where its parent does; a process whose channel is closed is nobody's, and ends.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from typing import TYPE_CHECKING

from cpu_node.debugger import Debugger, Order, Standing, Stop, Why
from cpu_node.timeline.channel import Channel, Gone, end_of_process, order_of, stop_as_message
from cpu_node.timeline.loglink import EndOfLog
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from machine.errors import Divergence, MachineError

if TYPE_CHECKING:
    import socket

    from cpu_node.timeline.channel import Message
    from machine.board import Board
    from machine.recording.reader import Recording


class Worker(Debugger):
    """Holds the timeline's CPU for the other end of a channel."""

    def __init__(self, player: Player, channel: Channel) -> None:
        super().__init__(Standing(player.arch, player.cpu, player.memory, player.clock), player.cpu)
        self._link = player.link
        self._guards = player.guards
        self._channel = channel
        self._points: tuple[object, object, bool] = ([], [], True)
        self.interrupted = True  # at power-on

    @property
    def seq(self) -> int:
        """See Debugger."""
        return self._link.seq

    def attend(self) -> None:
        """See Debugger."""
        if select.select([self._channel], [], [], 0)[0]:
            # All that is said to a machine that runs is to stop.
            self._receive()
            self.interrupted = True

    def between(self, *, begun: bool) -> None:
        """See Debugger; a scout looks about here."""
        if self._order.scouting and self._guards.look(self._native.icount):
            self.hold(Why.TOUCHED)
        super().between(begun=begun)

    def stand(self, stop: Stop) -> Order:
        """See Debugger."""
        self._tell(stop_as_message(stop))
        while True:
            message, end = self._receive()
            if end is not None:
                self._fork(end, stop)
            elif "resume" in message:
                self._set_points(message)
                return order_of(message)
            elif "interrupt" not in message:
                self._tell(self._answer(message))

    def listen(self) -> None:
        """Let the engine look at the channel."""
        self._native.wake_fd = self._channel.fileno()

    def _set_points(self, message: Message) -> None:
        breaks, watches = message["breaks"], [tuple(watch) for watch in message["watches"]]
        scouting = message["resume"]["scouting"]
        self._guards.set(watches if scouting else (), self._native.icount)
        watches = [] if scouting else watches
        exact = not message["resume"]["noting"]
        if (breaks, watches, exact) != self._points:
            self._points = (breaks, watches, exact)
            self.standing.set_points(breaks, watches, exact=exact)

    def _answer(self, message: Message) -> Message:
        match message:
            case {"registers": _}:
                return {"values": self.standing.raw_registers()}
            case {"scouted": _}:
                return {"touched": self._guards.touched, "clean": self._guards.clean}
            case {"read": address, "size": size}:
                return {"data": self.standing.read_physical(address, size).hex()}
            case _:
                return {"error": f"no such request: {message}"}

    def _fork(self, end: socket.socket, stop: Stop) -> None:
        """The child stands here too, at a channel of its own."""
        if os.fork():
            end.close()
            return
        self._channel.close()
        self._channel = Channel(end)
        self.listen()
        self._tell(stop_as_message(stop))

    def _tell(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except Gone:
            end_of_process()

    def _receive(self) -> tuple[Message, socket.socket | None]:
        try:
            return self._channel.receive()
        except Gone:
            end_of_process()
            raise


def work(recording: Recording, board: Board, end: socket.socket, snapshot: int = 0) -> None:
    """Be the first process of a timeline: stand at its beginning or a snapshot, and go on as a socket says."""
    # Nobody waits for forks of forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(end)
    try:
        player = Player(recording, board, Perturbation(), snapshot)
    except MachineError as error:
        channel.send({"failed": str(error), "code": error.exit_code})
        return
    worker = Worker(player, channel)
    worker.listen()
    # What is there now is touched by no collection any more, so forks share it.
    gc.freeze()
    try:
        player.run(worker)
        why, text = Why.END, ""
    except EndOfLog:
        why, text = Why.END, ""
    except (Divergence, MachineError) as error:
        why, text = Why.DIVERGED, str(error)
    while True:
        worker.stand(worker.where(why, text))
