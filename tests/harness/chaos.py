"""A process between one node and the broker that holds every message back for a random while, in order."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import zmq
from zmq.utils.monitor import recv_monitor_message

if TYPE_CHECKING:
    from collections.abc import Sequence

IDLE_MS: Final = 1000
"""The longest wait when nothing is held back."""

Socket = zmq.Socket[bytes]


class Direction:
    """What travels one way: each message due no earlier than the one before it."""

    def __init__(self, source: Socket, target: Socket, seed: int, longest_s: float) -> None:
        self.source = source
        self._target = target
        self._random = random.Random(seed)
        self._longest_s = longest_s
        self._held: deque[tuple[float, list[bytes]]] = deque()
        self._last_s = 0.0

    def take(self, now_s: float) -> None:
        """Take in everything that has come and draw when each may go on."""
        while int(self.source.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._last_s = max(self._last_s, now_s + self._random.uniform(0, self._longest_s))
            self._held.append((self._last_s, self.source.recv_multipart(zmq.NOBLOCK)))

    def pass_on(self, now_s: float) -> None:
        """Send what is due."""
        while self._held and self._held[0][0] <= now_s:
            self._target.send_multipart(self._held.popleft()[1])

    def due_s(self) -> float | None:
        """When the next one may go; None when nothing is held back."""
        return self._held[0][0] if self._held else None


class Proxy:
    """One node's way to the broker and back; it ends when the node has gone and all it said has been passed on."""

    def __init__(self, front: str, back: str, seed: int, longest_s: float) -> None:
        self._context = zmq.Context()
        self._front = self._open(front, bind=True)
        self._monitor = self._front.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._back = self._open(back, bind=False)
        self._to_broker = Direction(self._front, self._back, 2 * seed, longest_s)
        self._to_node = Direction(self._back, self._front, 2 * seed + 1, longest_s)
        self._node_gone = False

    def run(self) -> None:
        """Pass messages on until the node has gone."""
        poller = zmq.Poller()
        for socket in (self._front, self._back, self._monitor):
            poller.register(socket, zmq.POLLIN)
        while not (self._node_gone and self._to_broker.due_s() is None):
            poller.poll(self._timeout_ms())
            if int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                recv_monitor_message(self._monitor)
                self._node_gone = True
            now_s = time.monotonic()
            for direction in (self._to_broker, self._to_node):
                direction.take(now_s)
                direction.pass_on(now_s)
        self._front.disable_monitor()
        self._monitor.close(linger=0)
        self._front.close(linger=0)
        self._back.close()
        self._context.term()

    def _open(self, endpoint: str, *, bind: bool) -> Socket:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        (socket.bind if bind else socket.connect)(endpoint)
        return socket

    def _timeout_ms(self) -> int:
        due = [s for s in (self._to_broker.due_s(), self._to_node.due_s()) if s is not None]
        if not due:
            return IDLE_MS
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1)


def main(argv: Sequence[str]) -> int:
    """The proxy's command line."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--front", required=True, help="endpoint for the node")
    parser.add_argument("--back", required=True, help="the broker's endpoint")
    parser.add_argument("--longest-ms", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    Proxy(options.front, options.back, options.seed, options.longest_ms / 1000).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
