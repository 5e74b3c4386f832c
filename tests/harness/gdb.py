"""Stock gdb, driven by its machine interface over pipes, and the server of a recording that it talks to."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from pygdbmi import gdbmiparser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.machine import Finished, Home, Running

GDB: Final = ("gdb-multiarch", "-nx", "-q", "--interpreter=mi3")
GOING: Final = ("vCont;c", "bc#")
"""Packets behind which the machine runs."""
PATIENCE_S: Final = 60.0
"""For one answer, on a host that has much else to do."""

Record = dict[str, Any]


class Gdb:
    """One gdb; used as a context manager, behind which it is gone."""

    def __init__(self, home: Home, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(GDB, cwd=home.work, env=home.environment(), stdin=pipe, stdout=pipe, bufsize=0)
        self._unread = b""
        self._records: list[Record] = []
        self.said = ""
        """Everything that gdb or the machine's side has printed."""
        self.tell("set confirm off")
        self.tell(f"set remotetimeout {PATIENCE_S:.0f}")
        self.tell("set architecture riscv:rv64")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End gdb as a crash would."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def attach(self, place: Path) -> None:
        """Connect; the machine stands behind it."""
        self.tell(f"target remote {place}")

    def tell(self, line: str) -> str:
        """A command as a user types it; what it has printed.  AssertionError if gdb calls it an error."""
        self.start(line)
        return self.finish(line)

    def start(self, line: str) -> None:
        """Begin a command."""
        self._records.clear()
        self.said = ""
        assert self._process.stdin is not None
        quoted = line.replace("\\", "\\\\").replace('"', '\\"')
        self._process.stdin.write(f'7-interpreter-exec console "{quoted}"\n'.encode())

    def finish(self, line: str = "") -> str:
        """Wait for the command's end."""
        record = self._await(lambda record: record["type"] == "result" and record["token"] == 7)
        assert record["message"] != "error", f"{line}: {record['payload']}"
        return self.said

    def go(self, line: str) -> Record:
        """A command that lets the machine run; how it stopped."""
        self.start(line)
        return self.stopped()

    def stopped(self) -> Record:
        """Wait for the machine to stand."""

        def stands(record: Record) -> bool:
            failed = record["type"] == "result" and record["message"] == "error"
            assert not failed, record
            return bool(record["type"] == "notify" and record["message"] == "stopped")

        payload: Record = self._await(stands)["payload"] or {}
        return payload

    def run(self, line: str) -> None:
        """A command that lets the machine run, which it does behind this."""
        # gdb says that it runs before it has told the machine; an interrupt in between is gdb's own.
        self.tell("set debug remote 1")
        self.start(line)
        self._await(lambda record: any(f"Sending packet: ${go}" in (record["payload"] or "") for go in GOING))

    def interrupt(self) -> Record:
        """Ctrl-C while the machine runs; how it stopped."""
        self._process.send_signal(signal.SIGINT)
        stop = self.stopped()
        self.tell("set debug remote 0")
        return stop

    def give_up(self, line: str) -> str:
        """Ctrl-C in the middle of a command; whether it was."""
        self.tell("set debug remote 1")
        self.start(line)
        self._await(lambda record: "Sending packet: $qRcmd" in str(record["payload"] or ""))
        self._process.send_signal(signal.SIGINT)
        record = self._await(lambda record: record["type"] == "result" and record["token"] == 7)
        self.tell("set debug remote 0")
        return "gdb has given up" if record["message"] == "error" else "it was there already"

    def value(self, expression: str) -> int:
        """An expression's value."""
        text = self.tell(f"output/d {expression}")
        return int(text.strip().splitlines()[-1])

    def seek(self, icount: int) -> None:
        """Move behind gdb's back, and have it forget what it knew, as docs/gdb.md says."""
        self.tell(f"monitor seek {icount}")
        for line in ("maintenance flush register-cache", "disable", "enable"):
            self.tell(line)

    @property
    def pc(self) -> int:
        """Where the machine stands."""
        return self.value("(long)$pc")

    @property
    def icount(self) -> int:
        """How many instructions have run."""
        return int(self.tell("monitor when").split()[1].strip(","))

    def _await(self, wanted: Any) -> Record:
        deadline = time.monotonic() + self._patience_s
        while True:
            while self._records:
                record = self._records.pop(0)
                if record["type"] in ("console", "target", "log"):
                    self.said += record["payload"] or ""
                if wanted(record):
                    return record
            self._read(deadline)

    def _read(self, deadline: float) -> None:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
        assert ready, f"gdb has not answered; it has said: {self.said}"
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        assert data, f"gdb is gone; it has said: {self.said}"
        *lines, self._unread = (self._unread + data).split(b"\n")
        self._records += [gdbmiparser.parse_response(line.decode(errors="replace")) for line in lines if line.strip()]


class Attended:
    """A started machine and where gdb may come."""

    def __init__(self, running: Running, place: Path) -> None:
        self.running = running
        self.place = place
        self.done: Finished | None = None

    @property
    def finished(self) -> Finished:
        """How it has ended."""
        assert self.done is not None
        return self.done


@contextmanager
def attended(home: Home, *words: str | Path) -> Iterator[Attended]:
    """`dejavm WORDS --gdb`, which must end by itself."""
    place = home.work / "gdb"
    session = Attended(home.start(*words, "--gdb", f"unix:{place}"), place)
    home.await_path(place)
    yield session
    session.done = session.running.finish()


@contextmanager
def served(home: Home, recording: Path, *options: str) -> Iterator[Path]:
    """`dejavm replay REC --gdb`: where gdb may come; the server is gone behind it."""
    place = home.work / "gdb"
    running = home.start("replay", recording, "--gdb", f"unix:{place}", *options)
    try:
        home.await_path(place)
        yield place
    finally:
        end_server(running)


def end_server(running: Running) -> None:
    """Ctrl-C, as on a terminal: the whole group gets it.  One that has ended by itself is as good."""
    for child in _children(running.process.pid):
        os.kill(child, signal.SIGINT)
    running.signal(signal.SIGINT)
    running.finish()


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []
