"""A monitor on a stage: real sockets, a session whose nodes the test plays, one turn at a time; no test lives here."""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from machine import message as m
from machine.board import Board, DeviceSlot
from machine.icount import CPU, FIRST_DEVICE
from replay_broker.monitor.monitor import Monitor
from replay_broker.session.base import Hold
from replay_broker.session.record import RecordSession
from tests.unit.replay_broker.stage import Stage, TalliedLedger, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from replay_broker.outcome import Outcome
    from replay_broker.session.base import Session

BOARD: Final = Board(
    "stage",
    sleep=False,
    devices=(
        DeviceSlot("serial0", "serial", 0x1000_0000, 10, backend="null"),
        DeviceSlot("rtc0", "rtc", 0x10_1000, 11, backend="fixed:7"),
        DeviceSlot("input0", "input", 0x1000_1000, 1, backend="none", options=(("type", "kbd"),)),
        DeviceSlot("input1", "input", 0x1000_2000, 2, backend="none", options=(("type", "mouse"),)),
        DeviceSlot("input2", "input", 0x1000_3000, 3, backend="none", options=(("type", "tablet"),)),
        DeviceSlot("usb0", "usb", 0x1002_0000, 12, 0x4000, backend="storage,file=/x;kbd;mouse"),
    ),
)
KEYBOARD, MOUSE, TABLET, USB = range(FIRST_DEVICE + 2, FIRST_DEVICE + 6)
PATIENCE_S: Final = 10.0


def error(text: str, kind: str = "GenericError") -> dict[str, Any]:
    """A refusal."""
    return {"error": {"class": kind, "desc": text}}


class StagedHost:
    """The server as the monitor sees it."""

    def __init__(self, mode: m.RunMode) -> None:
        self.mode = mode
        self.session: Session | None = None
        self.outcome: Outcome | None = None
        self.travel = None
        self.taker = None
        self.quits = 0
        self.backends: dict[str, str] = {}
        self.changes: list[tuple[str, str, Callable[[str], None]]] = []

    def quit(self) -> None:
        """Count."""
        self.quits += 1

    def change_backend(self, node: str, word: str, done: Callable[[str], None]) -> None:
        """Remember; the test answers."""

        def note(error: str) -> None:
            if not error:
                self.backends[node] = word
            done(error)

        self.changes.append((node, word, note))


class Theatre:
    """A monitor, the machine behind it, and its doors."""

    def __init__(self, directory: Path, mode: m.RunMode = m.RunMode.RECORD, board: Board = BOARD) -> None:
        self.directory = directory
        self.host = StagedHost(mode)
        self.stage = Stage()
        self.ledger = TalliedLedger()
        self.record = RecordSession(board, self.stage.send, self.ledger)
        self.monitor = Monitor(board, "/r/a.dejavm" if mode is not m.RunMode.NONE else "", directory)
        self.monitor.open([], [])
        self.monitor.attach(self.host)
        self._clients: list[Client] = []

    def begin(self, *, running: bool = True) -> Theatre:
        """Every node is ready, the devices are reset; the CPU runs, or stands at its first sync point."""
        self.host.session = self.record
        self.record.start()
        say(self.record, m.Sync(), CPU)
        for number in range(len(self.record.board.devices)):
            say(self.record, m.Done(), FIRST_DEVICE + number)
        self.stage.take()
        if not running:
            say(self.record, m.Sync(idle=True), CPU, 10)
        return self

    def turn(self) -> None:
        """One turn of the broker's loop."""
        self.monitor.serve(ready=self._is_ready())
        if self.obedient and self.record.hold is Hold.PAUSING:
            self.stand_still()

    def until_asleep(self) -> None:
        """Turns as long as the broker's loop would not wait for something else to come."""
        while self.monitor.backlog or self._is_ready():
            self.turn()

    def _is_ready(self) -> bool:
        return bool(select.select([self.monitor.descriptor], [], [], 0)[0])

    obedient = False
    """The CPU stands still as soon as it is told to."""

    def turns(self) -> Iterator[None]:
        """Turns up to a deadline, one before each step of the caller's loop."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.turn()
            yield

    def client(self, kind: str = "qmp") -> Client:
        """A new connection."""
        client = Client(self, self.directory / kind)
        self._clients.append(client)
        # Listeners have room for few who have not been let in.
        self.turn()
        return client

    def qmp(self) -> Client:
        """A connection that has negotiated."""
        client = self.client()
        assert "QMP" in client.hear()
        assert client.execute("qmp_capabilities") == {"return": {}}
        return client

    def lines(self) -> Client:
        """A connection in the line mode."""
        client = self.client("monitor")
        assert client.text().startswith("dejavm 0.1.0 monitor - type 'help' for more information\r\n")
        return client

    def stand_still(self, icount: int = 100) -> None:
        """The CPU has heard Pause and says Paused."""
        self.record.icount = icount
        self.record.stands_still()

    def delivered(self, icount: int) -> list[tuple[int, m.HostInput]]:
        """The CPU comes to a sync point; what is delivered there, every node handling it at once."""
        say(self.record, m.Sync(), CPU, icount)
        found = []
        while True:
            sent = self.stage.take()
            inputs = [(target, message) for target, message in sent if isinstance(message, m.HostInput)]
            found += inputs
            if not inputs:
                return found
            say(self.record, m.Done(), inputs[0][0], icount)

    def close(self) -> None:
        """Everything."""
        for client in self._clients:
            client.close()
        self.monitor.close()


class Client:
    """One peer of the monitor's; it turns the loop while it waits."""

    def __init__(self, theatre: Theatre, path: Path) -> None:
        self._theatre = theatre
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.setblocking(False)
        self._heard = b""

    def send(self, data: bytes) -> None:
        """Say bytes, turning the loop as long as they do not all fit."""
        for _ in self._theatre.turns():
            with suppress(BlockingIOError):
                data = data[self.socket.send(data) :]
            if not data:
                return
        raise AssertionError("the monitor does not read")

    def hear(self) -> dict[str, Any]:
        """The next document."""
        while b"\n" not in self._heard:
            self._more()
        line, _, self._heard = self._heard.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def execute(self, command: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Ask, and hear the answer."""
        self.ask(command, arguments, **more)
        return self.hear()

    def ask(self, command: str, arguments: dict[str, Any] | None = None, **more: Any) -> None:
        """Ask only."""
        request = {"execute": command, **more} | ({} if arguments is None else {"arguments": arguments})
        self.send(json.dumps(request).encode() + b"\n")
        for _ in range(3):
            self._theatre.turn()

    def told_at_once(self, command: str) -> list[dict[str, Any]]:
        """Ask; all that comes before the broker sleeps."""
        self.send(json.dumps({"execute": command}).encode() + b"\n")
        self._theatre.until_asleep()
        self._receive()
        lines, self._heard = self._heard.splitlines(), b""
        return [json.loads(line) for line in lines]

    def text(self) -> str:
        """In the line mode: everything up to the next prompt, without it."""
        while not self._heard.endswith(b"(dejavm) "):
            self._more()
        text, self._heard = self._heard.decode(), b""
        return text.removesuffix("(dejavm) ")

    def line(self, text: str) -> str:
        """Type a line; what it prints."""
        self.send(text.encode() + b"\n")
        return self.text()

    def silent(self) -> bool:
        """Whether nothing has come."""
        for _ in range(3):
            self._theatre.turn()
        self._receive()
        return not self._heard

    def gone(self) -> bool:
        """Whether the monitor hangs up, all it said before left out."""
        for _ in self._theatre.turns():
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except BlockingIOError:
                pass
            except ConnectionError:
                return True
        return False

    def hang_up(self) -> None:
        """Say no more, but listen."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Go."""
        self.socket.close()

    def _more(self) -> None:
        for _ in self._theatre.turns():
            if self._receive():
                return
        raise AssertionError(f"the monitor is silent after {self._heard!r}")

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return False
        assert data, f"the monitor has hung up after {self._heard!r}"
        self._heard += data
        return True
