"""The real command and its real processes in a test's own directory, ended and accounted for in any case."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from machine.codec import decode
from machine.icount import FIRST_DEVICE
from machine.message import BackendResult, HostInput, HostOutput
from machine.recording.layout import LOG_NAME
from machine.recording.reader import Recording
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent.parent
IN_FRAME = 100
"""A byte of a file of pages that is in its first frame."""
TIMEOUT_S: Final = 180.0
"""What has not happened by then on a busy host never will."""
MARK: Final = "DEJAVM_TEST_HOME"
"""A variable that every process of a test inherits, by which those left behind are found."""
LEAVING_S: Final = 5.0
POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as one JSON object."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong; there must be exactly one, and no traceback."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("dejavm: ")]
        assert "Traceback" not in self.stderr, self.stderr
        assert len(lines) == 1, self.stderr
        return lines[0]


class Running:
    """A command that has been started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._started_s = time.monotonic()

    def finish(self, timeout_s: float = TIMEOUT_S, stdin: bytes | None = None) -> Finished:
        """Wait for its end."""
        try:
            out, err = self.process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as expired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError(f"still running after {timeout_s} s; standard error: {expired.stderr!r}") from expired
        seconds = time.monotonic() - self._started_s
        return Finished(self.process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def abandon(self) -> None:
        """End it, if it still runs, and hear no more of it."""
        if self.process.poll() is None:
            self.process.kill()
        with suppress(BrokenPipeError), self.process:
            pass


class Home:
    """A test's own directory: `work` is where commands stand, `run` where machines keep their sockets."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="dvt-", dir="/tmp"))
        self.work = self.path / "work"
        self.runtime = self.path / "run"
        self.work.mkdir()
        self.runtime.mkdir()
        self.closing = ExitStack()
        """What a test that fails leaves open; later tests would be told of it."""

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What every process of the test inherits."""
        marks = {MARK: str(self.path), "XDG_RUNTIME_DIR": str(self.runtime), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **marks, **(more or {})}

    def argv(self, *args: str | Path, rig: Rig | None = None) -> list[str]:
        """The command line of `dejavm ARGS`."""
        module = ["deploy"] if rig is None else ["tests.harness.rigged", rig.text()]
        return [sys.executable, "-P", "-m", *module, *map(str, args)]

    def start(self, *args: str | Path, rig: Rig | None = None, env: Mapping[str, str] | None = None) -> Running:
        """Start `dejavm ARGS`, its standard streams pipes."""
        return self.start_argv(self.argv(*args, rig=rig), env)

    def start_argv(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Running:
        """Start a command that does what argv() says, and something around it."""
        pipe = subprocess.PIPE
        environment = self.environment(env)
        process = subprocess.Popen(argv, cwd=self.work, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)
        running = Running(process)
        self.closing.callback(running.abandon)
        return running

    def run(
        self,
        *args: str | Path,
        stdin: bytes = b"",
        rig: Rig | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Finished:
        """Run `dejavm ARGS` to its end."""
        return self.start(*args, rig=rig, env=env).finish(timeout_s, stdin)

    def record(self, *args: str | Path, name: str = "a", rig: Rig | None = None, **more: Any) -> Path:
        """Record a machine whose guest must switch itself off; the recording."""
        path = self.work / f"{name}.dejavm"
        done = self.run("record", *args, "-o", path, rig=rig, **more)
        assert done.exit_code == 0, done.stderr
        return path

    def verify(self, recording: Path, *args: str, rig: Rig | None = None, **more: Any) -> str:
        """Replay a recording, which must be bit-exact; the final digest."""
        done = self.run("verify", recording, *args, "--json", rig=rig, **more)
        assert done.exit_code == 0, done.stderr
        assert done.json["bit_exact"] is True
        return str(done.json["final_digest"])

    def verify_both_ways(self, recording: Path, **more: Any) -> str:
        """Replay without and with devices; both come to the recording's own final digest, which is returned."""
        recorded = final_digest(recording)
        assert self.verify(recording, "--devices", "log", **more) == recorded
        assert self.verify(recording, "--devices", "live", **more) == recorded
        return recorded

    def file(self, name: str, text: str) -> Path:
        """A new file in the test's directory."""
        path = self.work / name
        path.write_text(text)
        return path

    def script(self, text: str, name: str = "script.txt") -> str:
        """A serial backend that follows a script."""
        return f"script:{self.file(name, text)}"

    def processes(self) -> dict[int, str]:
        """Every living process of the test: its command line by process number."""
        found: dict[int, str] = {}
        mark = f"{MARK}={self.path}".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def pid_of(self, name: str) -> int:
        """The process of one node of the one running machine: `broker`, `cpu` or a device's name.

        What one has just forked goes by its words until it is another program.
        """
        word = " replay_broker " if name == "broker" else f" --node {name} "
        deadline = time.monotonic() + LEAVING_S
        while True:
            pids = [pid for pid, line in self.processes().items() if word in line]
            if len(pids) == 1:
                return pids[0]
            assert time.monotonic() < deadline, f"not one process {name}: {self.processes()}"
            time.sleep(POLL_S)

    def call(self, line: socket.socket, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        """Connect to a socket once another process listens there: it has its name a moment before."""
        line.settimeout(timeout_s)
        deadline = time.monotonic() + timeout_s
        while (error := line.connect_ex(str(path))) in (errno.ENOENT, errno.ECONNREFUSED):
            assert time.monotonic() < deadline, f"nobody listens at {path}"
            time.sleep(POLL_S)
        assert not error, os.strerror(error)

    def await_path(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for a file or a socket that another process makes."""
        deadline = time.monotonic() + timeout_s
        while not path.exists():
            assert time.monotonic() < deadline, f"{path} never came"
            time.sleep(POLL_S)

    def await_no_process(self) -> None:
        """Wait until every process of the test has gone by itself."""
        deadline = time.monotonic() + TIMEOUT_S
        while left := self.processes():
            assert time.monotonic() < deadline, left
            time.sleep(POLL_S)

    def await_bytes(self, path: Path, data: bytes, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for what another process writes to a file."""
        deadline = time.monotonic() + timeout_s
        while not path.exists() or data not in path.read_bytes():
            assert time.monotonic() < deadline, f"{path}: {data!r} never came"
            time.sleep(POLL_S)

    def left_behind(self) -> list[str]:
        """What is still there after every command has ended: processes, and files of running machines."""
        deadline = time.monotonic() + LEAVING_S
        while (left := [*self.processes().values(), *map(str, self.runtime.iterdir())]) and (
            time.monotonic() < deadline
        ):
            time.sleep(POLL_S)
        return left

    def end(self) -> None:
        """End every process of the test, and what it has open to them."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.closing.close()

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path)

    def recordings(self) -> list[Path]:
        """The recordings in the test's directory."""
        return sorted(self.work.glob("**/*.dejavm"))


def spoil(recording: Path, at: int | None = None) -> None:
    """Turn a bit of a recording's log, by default in the middle."""
    log = recording / LOG_NAME
    _flip(log, log.stat().st_size // 2 if at is None else at)


def spoil_pages(recording: Path, number: int = 1) -> None:
    """Turn a bit of the first pages that were new in a snapshot: its file's index stays whole."""
    _flip(recording / "snapshots" / f"{number:08}.pages", IN_FRAME)


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def final_digest(recording: Path) -> str:
    """The digest of all of a recording's messages, its end and the whole machine's state among them."""
    return Recording.open(recording).summary().digest.hex()


def console(recording: Path, name: str = "serial0", last: float = math.inf) -> bytes:
    """What the guest has written to a device, its serial line for one, as far as the backend took it.

    Up to message `last`.
    """
    said, offered = b"", b""
    opened = Recording.open(recording)
    number = FIRST_DEVICE + [slot.name for slot in opened.board.devices].index(name)
    for frame in opened.frames():
        if frame.source != number or frame.seq > last:
            continue
        message = decode(frame.type, frame.payload)
        if isinstance(message, HostOutput):
            offered = message.data
        elif isinstance(message, BackendResult):
            said += offered[: message.accepted]
    return said


def typed(recording: Path) -> bytes:
    """What the backend has brought to the serial line."""
    messages = (decode(frame.type, frame.payload) for frame in Recording.open(recording).frames())
    return b"".join(message.data for message in messages if isinstance(message, HostInput))
