"""`python -m deploy.supervision.listener`: supervisor's event listener; process exits become machine events.

Lives here: supervisor's listener protocol, telling the broker, the machine's last word (end.json).
Never here: what a death means to the run; the broker knows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import select
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.outcome import TERMINAL_STATES
from deploy.plan import BROKER
from deploy.supervision.daemon import Supervisor
from deploy.supervision.horizon import Horizon
from deploy.supervision.last_word import LastWord
from deploy.supervision.machine_end import End, end_of
from deploy.supervision.place import ServicePlaces
from deploy.supervision.report import reach, read_end
from deploy.supervision.returning import Returning
from machine.errors import MachineError, RemoteWireError
from machine.fdstore import FdStore
from machine.leaving import leave
from machine.message import ProcessEnded, RunMode
from machine.node import Diagnostics, die_with_parent, start_diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger("dejavm")
POLL_S: Final = 0.5
READY: Final = b"READY\n"
DONE: Final = b"RESULT 2\nOK"
KILLED: Final = "was killed by"
"""The same of one that a signal has ended."""
SETUP_FAILED: Final = "ended with exit code 2"
"""What manner_logged() says of a process that could not open what it needs."""
IN_ORDER: Final = "ended with exit code 0"
ENDED_STATES: Final = frozenset({"EXITED", "FATAL"})
"""What supervisor says of a process that has been there."""
TOLD_S: Final = 3.0
"""How long the broker may take to tell how the run ended, when its process has ended in order."""


@dataclass(frozen=True, slots=True)
class Event:
    """One of supervisor's events about a process."""

    name: str
    process: str
    pid: int
    expected: bool


def parse_header(line: bytes) -> Mapping[str, str]:
    """`ver:3.0 server:supervisor ... eventname:PROCESS_STATE_EXITED len:84`."""
    return dict(pair.split(":", 1) for pair in line.decode().split() if ":" in pair)


def parse_event(header: Mapping[str, str], payload: bytes) -> Event:
    """An event of supervisor's PROCESS_STATE family."""
    body = parse_header(payload.split(b"\n", 1)[0])
    return Event(
        header.get("eventname", ""),
        body.get("processname", ""),
        int(body.get("pid", "0") or 0),
        body.get("expected", "0") == "1",
    )


def manner_logged(log: str, process: str) -> str:
    """What supervisor's own log says last of how a process ended: `was killed by SIGKILL`."""
    found = re.findall(rf"(?:exited|stopped): {re.escape(process)} \(([^;)]*)", log)
    if not found:
        return "ended unexpectedly"
    if killed := re.search(r"terminated by (SIG\w+)", found[-1]):
        return f"{KILLED} {killed[1]}"
    if status := re.search(r"exit status (\d+)", found[-1]):
        return f"ended with exit code {status[1]}"
    return "ended unexpectedly"


class EventStream:
    """Supervisor's events on a descriptor; each is acknowledged when it has been taken."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._buffer = b""
        os.write(sink, READY)

    def take(self) -> Iterator[Event]:
        """What has come; EOFError when supervisor has gone."""
        data = os.read(self._source, 1 << 16)
        if not data:
            raise EOFError
        self._buffer += data
        while (split := self._buffer.find(b"\n")) >= 0:
            header = parse_header(self._buffer[:split])
            end = split + 1 + int(header.get("len", "0"))
            if len(self._buffer) < end:
                return
            payload, self._buffer = self._buffer[split + 1 : end], self._buffer[end:]
            yield parse_event(header, payload)
            os.write(self._sink, DONE + READY)


class Listener:
    """One machine's listener, used by one thread."""

    def __init__(
        self, places: ServicePlaces, nodes: Sequence[str], supervisor: Supervisor, events: EventStream,
        recording: str = "", *, awaits: bool = False,
    ) -> None:  # fmt: skip
        """`recording`: where another broker goes on, in place of one that was killed; "" if none does.

        `awaits`: the broker is on another host, whose listener does it.
        """
        self._places = places
        self._nodes = nodes
        self._supervisor = supervisor
        self._events = events
        self._control = reach(places)
        self._poller = select.poll()
        self._store = FdStore(places.directory)
        """What processes that die leave to those that supervisor starts in their place."""
        self._end: End | None = None
        self._last_word = LastWord(places)
        self._said = ""
        """Of why it has ended, in the diagnostics."""
        self._exits: dict[str, str] = {}
        self._broker_gone_s: float | None = None
        self._cleared = False
        self._ask_at_s = 0.0
        self.icount = 0
        """Where the guest is, as last heard."""
        self._returning: Returning | None = None
        self._horizon = Horizon(places, awaits=awaits)
        if recording:
            self._returning = Returning(places, recording, nodes, supervisor, self._poller)

    def catch_up(self) -> None:
        """What has happened while there was no listener, since it was killed; before run()."""
        for program in self._supervisor.programs():
            if program.name == BROKER and program.state in ENDED_STATES:
                manner = manner_logged((self._places.logs / "supervisord.log").read_text(errors="replace"), BROKER)
                self._on_event(Event("PROCESS_STATE_EXITED", BROKER, 0, expected=manner == IN_ORDER))

    def run(self) -> None:
        """Listen until supervisor goes."""
        poller = self._poller
        poller.register(sys.stdin.fileno(), select.POLLIN)
        poller.register(self._control.wake_fd, select.POLLIN)
        poller.register(self._store.fd, select.POLLIN)
        while True:
            # Not at each answer: the broker tells the end unasked to whoever has asked once.
            if (now_s := time.monotonic()) >= self._ask_at_s:
                self._ask_at_s = now_s + POLL_S
                self._control.ask()
            for descriptor, _ in poller.poll(POLL_S * 1000):
                if descriptor == sys.stdin.fileno():
                    for event in self._events.take():
                        self._on_event(event)
            self._store.serve()
            if self._returning is not None and self._returning.under_way:
                self._return(self._returning)
                continue
            self._hear()
            self._clear_away()
            self._last_word.write_again()

    def _return(self, returning: Returning) -> None:
        """One more step; where there is no way back the machine ends."""
        try:
            if returning.go_on():
                self._exits.clear()
                self._control.forget()
                self._broker_gone_s = None
        except (MachineError, OSError) as error:
            self._places.returning.unlink(missing_ok=True)
            self._end = self._failed(f"the broker {self._exits.get(BROKER, 'has gone')}: {error}")
            self._returning = None

    def _hear(self) -> None:
        try:
            status = self._control.latest()
        except RemoteWireError as error:
            self._lose_sight(str(error))
            return
        if status is not None and self._horizon.seen(recorded=status.mode is RunMode.RECORD):
            self._exits.clear()
        if self._end is None and (detail := self._horizon.given_up()):
            self._end = self._failed(detail)
            self._broker_gone_s = time.monotonic()
        self.icount = status.icount if status is not None else self.icount
        if status is not None and status.state in TERMINAL_STATES and self._end is None:
            self._write(end_of(status))
            # Nobody else would let it go before its time is over.
            self._control.quit()
            self._control.latest()
            if BROKER not in self._nodes:
                self._broker_gone_s = time.monotonic()

    def _lose_sight(self, why: str) -> None:
        """The connection to a broker on another host is broken: its successor, if one comes, is at the same place."""
        if BROKER in self._nodes:
            log.warning("%s", why)
            return
        self._poller.unregister(self._control.wake_fd)
        self._control.renew()
        self._poller.register(self._control.wake_fd, select.POLLIN)
        if self._end is None:
            self._horizon.lost(why)

    def _on_event(self, event: Event) -> None:
        ended = event.name in ("PROCESS_STATE_EXITED", "PROCESS_STATE_FATAL", "PROCESS_STATE_STOPPED")
        if not ended or event.process not in self._nodes:
            return
        if self._returning is not None and self._returning.is_dismissed(event.pid):
            return
        if self._horizon.is_dark():
            return
        if event.process == BROKER:
            self._broker_gone_s = time.monotonic()
        if event.expected or (self._end is not None and event.name == "PROCESS_STATE_STOPPED"):
            # Behind the end nobody is to wonder about those that are sent home.
            return
        manner = manner_logged((self._places.logs / "supervisord.log").read_text(errors="replace"), event.process)
        if event.name == "PROCESS_STATE_STOPPED":
            manner = "was stopped through supervisor"
        # What it first died of counts, not that its successors are not let in.
        self._exits.setdefault(event.process, manner)
        log.warning("%s, process %d, %s", event.process, event.pid, manner)
        if event.process != BROKER:
            self._control.tell(ProcessEnded(event.process, event.pid, manner))
        if BROKER not in self._nodes and self._end is None and manner == SETUP_FAILED:
            # It will not do better another time, and the broker may never have heard of it.
            self._end = self._failed(f"{event.process} {manner}")
            self._broker_gone_s = time.monotonic()
        if self._end is not None:
            self._write(self._end)

    def _clear_away(self) -> None:
        """Without a broker nothing goes on: the end is written down, and who is still there leaves."""
        if self._broker_gone_s is None or self._cleared:
            return
        if self._end is None:
            manner = self._exits.get(BROKER)
            if self._returning is not None and manner is not None and manner.startswith(KILLED):
                self._returning.begin()
                return
            if manner is None and time.monotonic() - self._broker_gone_s < TOLD_S:
                return
            self._end = self._failed(f"the broker {manner or 'has gone without a word'}")
        self._end.complete = True
        self._write(self._end)
        self._cleared = True
        for program in self._supervisor.programs():
            if program.name in self._nodes and program.name != BROKER and program.pid:
                self._supervisor.stop(program.name)

    def _failed(self, detail: str) -> End:
        """That of a run whose broker told none."""
        return End("FAILED", self.icount, detail=detail)

    def _write(self, end: End) -> None:
        self._end = end
        end.exits = dict(self._exits)
        end.started_ns = self._places.started_ns
        if end.detail != self._said:
            self._said = end.detail
            log.warning("the run has ended: %s", end.detail)
        self._last_word.write(json.dumps(asdict(end)))


def forget_earlier(places: ServicePlaces) -> None:
    """Remove the last word of an earlier run in this directory: of another start of supervisor."""
    if (read_end(places) or {}).get("started_ns") != places.started_ns:
        places.end.unlink(missing_ok=True)


def main(argv: Sequence[str]) -> int:
    """Listen for one machine."""
    parser = argparse.ArgumentParser(prog="listener")
    parser.add_argument("--directory", required=True, type=Path, help="the machine's directory")
    parser.add_argument("--go-on", default="", metavar="REC", help="where another broker goes on when one is killed")
    parser.add_argument("--await-broker", action="store_true", help="the broker's host starts another, if it is killed")
    parser.add_argument("nodes", nargs="+", help="the machine's processes on this host")
    options = parser.parse_args(argv)
    diagnostics = Diagnostics()
    start_diagnostics("listener", diagnostics)
    die_with_parent()
    places = ServicePlaces(options.directory)
    forget_earlier(places)
    events = EventStream(sys.stdin.fileno(), sys.stdout.fileno())
    supervisor = Supervisor.of(places)
    listener = Listener(places, options.nodes, supervisor, events, options.go_on, awaits=options.await_broker)
    diagnostics.icount = lambda: listener.icount
    with suppress(EOFError):
        listener.catch_up()
        listener.run()
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
