"""A recorded download with typing under Debian, while device processes are killed one after the other and at random."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from machine.recording.reader import Recording
from tests.harness.debian_session import PROMPT, DebianSession
from tests.harness.monitor import Qmp
from tests.harness.net_guest import DHCP
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

KILLS: Final = 100
FILE_BYTES: Final = 12_000_000
DEVICES: Final = ("serial0", "rtc0", "nic0", "input0", "rng0", "usb0")
WORDS: Final = ("--nic", "user", "--input", "kbd", "--rng", "host")
DISK_BYTES: Final = 1 << 16
EVENT_BYTES: Final = 24
EVENTS_A_KEY: Final = 4
"""Down, SYN, up, SYN."""


class Killer:
    """Kills device processes one after the other and at random, each when the one before is back."""

    def __init__(self, home: Home, qmp: Qmp, seed: int) -> None:
        self._home = home
        self._qmp = qmp
        self._chance = random.Random(seed)
        self._order: list[str] = []
        self.pauses: dict[str, list[int]] = {}
        """By device, in milliseconds."""
        self.messages: dict[str, list[int]] = {}

    def kill(self) -> str:
        """Kill one and wait until another stands in for it."""
        if not self._order:
            self._order = list(DEVICES) + self._chance.choices(DEVICES, k=len(DEVICES))
            self._chance.shuffle(self._order)
        name = self._order.pop()
        pid = self._home.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        back = self._await(name)
        assert back["pid"] != pid
        self.pauses.setdefault(name, []).append(back["pause-ms"])
        self.messages.setdefault(name, []).append(back["messages"])
        return name

    def _await(self, name: str) -> dict[str, Any]:
        while True:
            event = self._qmp.await_event("DEJAVM_NODE_BACK")
            self._qmp.events.remove(event)
            data: dict[str, Any] = event["data"]
            if data["node"] == name:
                return data

    def table(self) -> str:
        """Pauses by device."""
        rows = [
            f"{name:8} {len(ms):3} kills, pause median {sorted(ms)[len(ms) // 2]} ms, longest {max(ms)} ms, "
            f"retold at most {max(self.messages[name])} messages"
            for name, ms in sorted(self.pauses.items())
        ]
        return "\n".join(rows)


def kill_devices(home: Home, seed: int = 1) -> tuple[Path, Killer]:
    """The recording, which has a clean end, and how it went.

    AssertionError unless what was typed, what was downloaded and every key is with the guest once, and in order.
    """
    disk = home.work / "disk.img"
    disk.write_bytes(bytes(DISK_BYTES))
    pace = threading.Semaphore(0)
    killed: Counter[str] = Counter()
    with (
        serving(noise(FILE_BYTES), pace=pace, pieces=KILLS) as server,
        DebianSession(home, *WORDS, "--usb", f"storage,file={disk}") as session,
        Qmp(home) as qmp,
    ):
        killer = Killer(home, qmp, seed)
        # What is plugged in and out must not be told on the line.
        session.do("dmesg -n 1")
        session.do(DHCP)
        session.do("while [ ! -e /dev/input/event0 ]; do sleep 0.1; done")
        session.do("exec 3</dev/input/event0; cat <&3 >/keys & cat /dev/hwrng >/dev/null & R=$!")
        session.do(f"wget -q -O /file http://10.0.2.2:{server.port}/file & W=$!")
        session.type("stty -echo; echo CA''T; cat; stty echo")
        session.until(b"CAT\r\n")
        for number in range(KILLS):
            pace.release()
            word = f"word-{number}-{'x' * (number % 40)}"
            session.type(word)
            _press(qmp, number)
            killed[killer.kill()] += 1
            assert session.until(b"\r\n") == word.encode() + b"\r\n"
        session.type("\x04echo SY''NC")
        session.until(b"SYNC\r\n")
        session.until(PROMPT)
        assert set(killed) == set(DEVICES)
        assert server.sha256 in session.do("wait $W; kill $R; sha256sum /file")
        size = KILLS * EVENTS_A_KEY * EVENT_BYTES
        session.do(f"while [ $(wc -c </keys) -lt {size} ]; do sleep 0.01; done")
        assert session.do("wc -c </keys").strip() == str(size)
        assert server.requests == ["/file"]
    assert Recording.open(session.recording).clean_end
    return session.recording, killer


def _press(qmp: Qmp, number: int) -> None:
    key = {"type": "qcode", "data": "abcdefgh"[number % 8]}
    for down in (True, False):
        qmp.execute("input-send-event", events=[{"type": "key", "data": {"down": down, "key": key}}])
