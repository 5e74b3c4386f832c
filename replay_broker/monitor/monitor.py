"""The monitor's listeners and clients: one descriptor for the broker's loop, and bounded work each time it is ready.

Lives here: who is connected, how often they are heard.
Never here: languages, commands.
"""

from __future__ import annotations

import logging
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from machine.listening import Address, forget, listen, parse_address
from replay_broker.monitor.progress import Progress

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from machine.board import Board
    from replay_broker.monitor.connection import Connection
    from replay_broker.monitor.machine import Host, Machine

log = logging.getLogger("dejavm")

QMP: Final = "qmp"
LINES: Final = "monitor"
"""The sockets in the machine's own directory, and the names of the languages."""
MOST_CLIENTS: Final = 32
PERIOD_NS: Final = 50_000_000
ALLOWANCE: Final = 200
"""Requests of all clients in one period: some per cent of the broker's time at most."""
AT_ONCE: Final = 8
"""Requests between two looks at the machine's own messages."""


class Monitor:
    """Everything about the monitor, used by the broker's thread.  Nothing in it waits."""

    def __init__(self, board: Board, recording: str = "", directory: Path | None = None) -> None:
        self._board = board
        self._recording = recording
        self._directory = directory
        self._machine: Machine | None = None
        self._host: Host | None = None
        self._epoll = select.epoll()
        self._listeners: dict[int, tuple[socket.socket, Address, str]] = {}
        self._clients: dict[int, tuple[Connection, int]] = {}
        """By descriptor: the client, and what epoll watches it for; 0 and hung up: it is not watched."""
        self._progress = Progress()
        self._allowance = ALLOWANCE
        self._period_ns = 0
        self._stirred = False
        """There is something to do or to send; a client that only listens costs nothing."""
        self._deaf: list[int] = []
        """Listeners that get no descriptor for a caller before the next period."""
        self.turned_away = 0
        """Clients for whom there was no place."""

    @property
    def descriptor(self) -> int:
        """Readable when serve() has something to do."""
        return self._epoll.fileno()

    def open(self, qmp: Sequence[str], lines: Sequence[str]) -> None:
        """Listen in the machine's directory and at the addresses given.  UsageError names one that cannot be."""
        wanted = [
            (parse_address(word, f"--{kind}"), kind) for kind, given in ((QMP, qmp), (LINES, lines)) for word in given
        ]
        if self._directory is not None:
            wanted += [(Address(path=str(self._directory / kind)), kind) for kind in (QMP, LINES)]
        for wish, kind in wanted:
            listener, address = listen(wish, f"--{kind}")
            self._listeners[listener.fileno()] = (listener, address, kind)
            self._epoll.register(listener.fileno(), select.EPOLLIN)
            if wish.port == 0 and not wish.path:
                log.warning("--%s: listening on %s", kind, address)

    def attach(self, host: Host) -> None:
        """This is the machine."""
        self._host = host

    @property
    def backlog(self) -> bool:
        """Whether serve() would find work without anything new."""
        return self._stirred and self._allowance > 0

    def serve(self, *, ready: bool) -> None:
        """One turn: what has come, some of what is asked, what has happened to the machine."""
        if self._machine is None and not ready:
            return
        if ready:
            self._stirred = True
            for descriptor, events in self._epoll.poll(0):
                self._on_ready(descriptor, events)
        if self._machine is not None:
            self._machine.notice()
            self._progress.notice(self._machine, time.monotonic_ns())
        self._refill()
        if self._stirred:
            worked = self._work()
            self._settle()
            # What a request has changed at once is noticed in another turn, when nodes have been told of it.
            self._stirred = worked or any(client.busy for client, _ in self._clients.values())

    def close(self) -> None:
        """Hang up on everybody; what they can still be told they are."""
        for client, _ in self._clients.values():
            client.flush()
            client.close()
        self._clients.clear()
        for listener, address, _ in self._listeners.values():
            listener.close()
            forget(address)
        self._listeners.clear()
        self._epoll.close()

    def _on_ready(self, descriptor: int, events: int) -> None:
        if descriptor in self._listeners:
            listener, _, kind = self._listeners[descriptor]
            self._accept(listener, kind)
            return
        from replay_broker.monitor.connection import BROKEN  # noqa: PLC0415  # loaded by the first client

        client, _ = self._clients[descriptor]
        client.ready(events)
        if events & BROKEN:
            self._epoll.unregister(descriptor)
            self._clients[descriptor] = (client, -1)

    def _accept(self, listener: socket.socket, kind: str) -> None:
        try:
            peer, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            log.warning("the monitor cannot take a client: %s", error)
            self._epoll.modify(listener.fileno(), 0)
            self._deaf.append(listener.fileno())
            return
        if len(self._clients) >= MOST_CLIENTS:
            if not self.turned_away:
                log.warning("the monitor has %d clients and turns more away", MOST_CLIENTS)
            self.turned_away += 1
            peer.close()
            return
        peer.setblocking(False)
        client = self._speaking(peer, kind)
        self._clients[peer.fileno()] = (client, 0)
        self._epoll.register(peer.fileno(), 0)

    def _speaking(self, peer: socket.socket, kind: str) -> Connection:
        """A client and its language; both are loaded for the first one: a machine's start waits for imports."""
        from replay_broker.monitor.connection import Connection  # noqa: PLC0415
        from replay_broker.monitor.hmp import LineSpeaker  # noqa: PLC0415
        from replay_broker.monitor.qmp import QmpSpeaker  # noqa: PLC0415

        machine = self._known()
        speaker = QmpSpeaker if kind == QMP else LineSpeaker
        return Connection(peer, lambda say: speaker(machine, say), self._stir)

    def _known(self) -> Machine:
        """The machine as commands see it."""
        from replay_broker.monitor.commands import COMMANDS  # noqa: PLC0415
        from replay_broker.monitor.machine import Machine  # noqa: PLC0415

        assert self._host is not None
        if self._machine is None:
            self._machine = Machine(self._board, self._recording, self._directory, self._host, COMMANDS)
            self._machine.hear = self._tell
        return self._machine

    def press_power(self) -> str:
        """What `cont` and `system_powerdown` do, a debugger sent away, for whoever ends the machine; "" or why not."""
        from replay_broker.monitor.answer import CommandError  # noqa: PLC0415

        if self._host is not None and self._host.session is not None and self._host.session.held:
            self._host.session.let_go()
            self._known().notice()
        answer = self._known().execute("system_powerdown", {})
        self._stirred = True
        try:
            if answer.done:
                answer.value()
        except CommandError as error:
            return str(error)
        return ""

    def _stir(self) -> None:
        self._stirred = True

    def tell(self, name: str, data: Mapping[str, object]) -> None:
        """An event that the machine itself cannot see."""
        self._tell(name, data)
        # Where nobody has ever asked, nobody hears; work that serve() does not do would keep the broker awake.
        self._stirred |= bool(self._clients)

    def _tell(self, name: str, data: Mapping[str, object]) -> None:
        """An event, to everybody who hears events."""
        now_ns = time.time_ns()
        for client, _ in self._clients.values():
            client.speaker.event(name, data, now_ns)

    def _refill(self) -> None:
        """A new period: everybody may ask again."""
        now_ns = time.monotonic_ns()
        if now_ns - self._period_ns < PERIOD_NS:
            return
        self._period_ns = now_ns
        self._allowance = ALLOWANCE
        for client, _ in self._clients.values():
            client.refill()
            self._stirred = True
        while self._deaf:
            self._epoll.modify(self._deaf.pop(), select.EPOLLIN)

    def _work(self) -> bool:
        """Some requests, the clients in turn; whether there were any."""
        most = left = min(AT_ONCE, self._allowance)
        while left > 0:
            busy = [client for client, _ in self._clients.values() if client.busy][:left]
            if not busy:
                break
            for client in busy:
                client.step()
            left -= len(busy)
            self._allowance -= len(busy)
        return left < most

    def _settle(self) -> None:
        """Send, watch for what matters now, let go of who has gone."""
        for descriptor, (client, watched) in list(self._clients.items()):
            client.flush()
            if client.over:
                self._drop(descriptor)
                continue
            wanted = client.interest()
            if watched >= 0 and wanted != watched:
                self._epoll.modify(descriptor, wanted)
                self._clients[descriptor] = (client, wanted)

    def _drop(self, descriptor: int) -> None:
        client, watched = self._clients.pop(descriptor)
        if watched >= 0:
            with suppress(OSError):
                self._epoll.unregister(descriptor)
        client.close()
