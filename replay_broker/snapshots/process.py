"""The process that writes snapshots, as the broker sees it: jobs in, answers out, never a wait.

Lives here: one child process and its two pipes.  Never here: what is in a snapshot.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
from array import array
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from machine import vmstate

if TYPE_CHECKING:
    from pathlib import Path

    from machine.message import Saved
    from machine.recording.snapshots.snapshot import Snapshot

_READ_BYTES = 1 << 16
MS = 1000


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a job: the snapshot's number, the bytes it took, or why there is none."""

    number: int
    size: int = 0
    error: str = ""
    deleted: bool = False
    """The job was to remove it."""
    pause_ns: int = 0
    """Host time from asking the CPU for its state to letting it go on."""
    moved: bool = False
    """The CPU stood still, and went on as far as its next sync point to tell it."""


class StoreProcess:
    """Started with its first job."""

    def __init__(self, recording: Path, recording_id: str, budget: int | None) -> None:
        self._argv = [sys.executable, "-P", "-m", "machine.recording.snapshots", str(recording), recording_id]
        self._argv += [] if budget is None else ["--budget", str(budget)]
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._unsent = b""
        self._jobs: deque[int] = deque()
        """Of each unanswered job the number that is to go, 0 for one to be written."""
        self._refused = ""
        """Why the host has started no process for them."""

    @property
    def descriptor(self) -> int | None:
        """Becomes readable when an answer has come; None before the first job."""
        if self._process is None or self._process.stdout is None:
            return None
        return self._process.stdout.fileno()

    def submit(self, snapshot: Snapshot, memory: Saved, base: int | None) -> None:
        """Have a snapshot written, whose number is the store's to give.

        `memory` says where the CPU's copy is, `base` what it is a change of.
        """
        job = {
            "snapshot": base64.b64encode(vmstate.encode(snapshot)).decode(),
            "staging": memory.staging,
            "granule": memory.granule,
            "granules": array("I", memory.granules).tolist(),
            "base": base,
        }
        self._jobs.append(0)
        self._send(job)

    def delete(self, number: int) -> None:
        """Have a snapshot removed."""
        self._jobs.append(number)
        self._send({"delete": number})

    def answers(self) -> list[Written]:
        """What has been done since the last time, without waiting."""
        self._push()
        if self._process is None or self._process.stdout is None:
            return self._give_up(self._refused)
        try:
            data = os.read(self._process.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            return self._mourn()
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [self._written(json.loads(line)) for line in lines]

    def finish(self, timeout_s: float) -> list[Written]:
        """The answers to all that it has been given, once it is done; fewer if that takes longer."""
        found = self.answers()
        while self._jobs and self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            # Not select(): a broker may have more descriptors than that knows of.
            poller = select.poll()
            poller.register(self._process.stdout, select.POLLIN)
            if self._unsent:
                poller.register(self._process.stdin, select.POLLOUT)
            if not poller.poll(timeout_s * MS):
                break
            found += self.answers()
        return found

    def _written(self, answer: dict[str, Any]) -> Written:
        deleted = self._jobs.popleft()
        number = deleted or int(answer.get("number", 0))
        return Written(number, int(answer.get("bytes", 0)), str(answer.get("error", "")), deleted > 0)

    def _mourn(self) -> list[Written]:
        """The process has gone: what it was given is not done; the next job starts another."""
        assert self._process is not None
        code = self._process.wait()
        self._process, self._unread, self._unsent = None, b"", b""
        return self._give_up(f"the process that writes snapshots ended with code {code}")

    def _give_up(self, why: str) -> list[Written]:
        jobs, self._jobs = self._jobs, deque()
        return [Written(number, 0, why, number > 0) for number in jobs]

    def close(self) -> None:
        """Let it finish what it has been given, and end."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), True)
        try:
            self._push()
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()

    def _send(self, job: dict[str, Any]) -> None:
        if self._process is None:
            try:
                self._process = self._start()
            except OSError as error:
                # Like a full disk: there is no snapshot, and the run goes on.
                self._refused = f"the process that writes snapshots cannot be started: {error.strerror}"
                return
        self._unsent += json.dumps(job).encode() + b"\n"
        self._push()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return process

    def _push(self) -> None:
        """As much as the pipe takes; a large job takes several turns of the broker's loop."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._process.stdin.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = b""
