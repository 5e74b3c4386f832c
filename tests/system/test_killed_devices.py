"""Device processes that are killed while a guest is recorded: another stands in, and the guest never notices."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.debian_session import PROMPT, DebianSession
from tests.harness.monitor import Qmp
from tests.harness.net_guest import DHCP
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

KILLS: Final = 100
FILE_BYTES: Final = 12_000_000
DEVICES: Final = ("serial0", "rtc0", "nic0", "input0", "rng0")
GENEROUS_MS: Final = 15_000
"""No test is timed; that a rebuild comes to its end is what is tested."""
EVENT_BYTES: Final = 24
EVENTS_A_KEY: Final = 4
"""Down, SYN, up, SYN."""
WAIT_S: Final = 60.0


class Killer:
    """Kills device processes one after the other and at random, each when the one before is back."""

    def __init__(self, home: Home, qmp: Qmp, seed: int) -> None:
        self._home = home
        self._qmp = qmp
        self._chance = random.Random(seed)
        self._order: list[str] = []
        self.pauses: dict[str, list[int]] = {}
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


def _press(qmp: Qmp, number: int) -> None:
    key = {"type": "qcode", "data": "abcdefgh"[number % 8]}
    for down in (True, False):
        qmp.execute("input-send-event", events=[{"type": "key", "data": {"down": down, "key": key}}])


def test_a_hundred_kills_during_a_download_with_typing_lose_and_double_nothing(home: Home) -> None:
    pace = threading.Semaphore(0)
    with serving(noise(FILE_BYTES), pace=pace, pieces=KILLS) as server:
        with (
            DebianSession(home, "--nic", "user", "--input", "kbd", "--rng", "host") as session,
            Qmp(home) as qmp,
        ):
            session.do(DHCP)
            session.do("while [ ! -e /dev/input/event0 ]; do sleep 0.1; done")
            session.do("exec 3</dev/input/event0; cat <&3 >/keys & cat /dev/hwrng >/dev/null & R=$!")
            session.do(f"wget -q -O /file http://10.0.2.2:{server.port}/file & W=$!")
            session.type("stty -echo; echo CA''T; cat; stty echo")
            session.until(b"CAT\r\n")
            killer = Killer(home, qmp, 1)
            killed: Counter[str] = Counter()
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
            print(killer.table())
            assert set(killed) == set(DEVICES)
            assert server.sha256 in session.do("wait $W; kill $R; sha256sum /file")
            size = KILLS * EVENTS_A_KEY * EVENT_BYTES
            session.do(f"while [ $(wc -c </keys) -lt {size} ]; do sleep 0.01; done")
            assert session.do("wc -c </keys").strip() == str(size)
        assert server.requests == ["/file"]
    assert max(max(ms) for ms in killer.pauses.values()) < GENEROUS_MS, killer.table()
    assert Recording.open(session.recording).clean_end
    home.verify_both_ways(session.recording)
