"""A recorded download with typing under Debian, and something that is killed again and again meanwhile."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from machine.errors import LogError
from machine.recording.reader import Recording
from tests.harness.debian_session import PROMPT, DebianSession
from tests.harness.machine import console
from tests.harness.monitor import Qmp
from tests.harness.net_guest import DHCP
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.machine import Home

OPTIONS: Final = ("--nic", "user", "--input", "kbd", "--rng", "host", "--snapshot-every", "1s")
DEADLINE_S: Final = 60.0
TAIL: Final = 60
"""Bytes at the console's end; a prompt and the line before it are less."""
GROWTH: Final = 5000
MOST_LINES: Final = 4
"""Typed between two kills, at random."""


def await_another(path: Path, times: int = 1) -> None:
    """Until another broker has gone on with a recording for the so many'th time."""
    deadline = time.monotonic() + DEADLINE_S
    while len(Recording.open(path).facts.continued) < times:
        assert time.monotonic() < deadline, "no other broker has come"
        time.sleep(0.005)


def killed_meanwhile(
    home: Home, kills: int, file_bytes: int, kill: Callable[[DebianSession, Qmp, int], None], seed: int = 1
) -> Path:
    """Type, echoed, while a file comes in pieces; `kill` is called that often.  The recording, which has a clean end.

    What is typed and what comes must be there once each.
    """
    pace = threading.Semaphore(0)
    chance = random.Random(seed)
    with (
        serving(noise(file_bytes), pace=pace, pieces=kills) as server,
        DebianSession(home, *OPTIONS) as session,
        Qmp(home) as qmp,
    ):
        session.do(DHCP)
        session.do(f"wget -q -O /file http://10.0.2.2:{server.port}/file & W=$!")
        session.type("stty -echo; echo CA''T; cat; stty echo")
        session.until(b"CAT\r\n")
        for number in range(kills):
            pace.release()
            for line in range(chance.randrange(MOST_LINES)):
                _echo(session, f"line-{number}-{line}")
            session.type(f"word-{number}")
            kill(session, qmp, number)
            assert session.until(b"\r\n") == f"word-{number}\r\n".encode()
        session.type("\x04echo SY''NC")
        session.until(b"SYNC\r\n")
        session.until(PROMPT)
        assert server.sha256 in session.do("wait $W; sha256sum /file")
        assert server.requests == ["/file"]
    assert Recording.open(session.recording).clean_end
    return session.recording


def kill_node(home: Home, qmp: Qmp, node: str) -> int:
    """Kill a node's process and wait until another is as far; the pause in milliseconds."""
    os.kill(home.pid_of(node), signal.SIGKILL)
    back = qmp.await_event("DEJAVM_NODE_BACK")
    qmp.events.clear()
    assert back["data"]["node"] == node
    return int(back["data"]["pause-ms"])


def await_said(path: Path, said: bytes) -> None:
    """Until that is in the log, behind which nothing is lost."""
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists() or said not in _recorded(path):
        assert time.monotonic() < deadline, f"{said!r} has not been recorded"
        time.sleep(0.01)


def await_all_said(session: DebianSession) -> None:
    """Until all that the guest has said is in the log: what is not it says twice."""
    await_said(session.recording, session.said[-TAIL:])


def await_growth(path: Path) -> None:
    """Until the guest has said something, and more behind that, and all of it is in the log."""
    deadline = time.monotonic() + DEADLINE_S
    least = size = 0
    while not least or size < least:
        assert time.monotonic() < deadline, "the guest does not go on"
        time.sleep(0.01)
        size = len(_recorded(path)) if path.exists() else 0
        if size and not least:
            least = size + GROWTH


def await_size(path: Path, least: int, deadline_s: float) -> None:
    """Until a file has so many bytes."""
    deadline = time.monotonic() + deadline_s
    while path.stat().st_size < least:
        assert time.monotonic() < deadline, f"{path} does not grow"
        time.sleep(0.005)


def _recorded(path: Path) -> bytes:
    """The console, as far as it is in the log."""
    try:
        return console(path)
    except LogError:
        return b""


def _echo(session: DebianSession, text: str) -> None:
    session.type(text)
    assert session.until(b"\r\n") == f"{text}\r\n".encode()
