"""A CPU node that is killed under Debian, in the middle of a download: another goes on from the newest snapshot."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.debian_session import PROMPT, DebianSession
from tests.harness.monitor import Qmp
from tests.harness.net_guest import DHCP
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

KILLS: Final = 6
FILE_BYTES: Final = 2_000_000


def test_a_killed_cpu_goes_on_in_the_middle_of_a_download_with_typing(home: Home) -> None:
    pace = threading.Semaphore(0)
    options = ("--nic", "user", "--input", "kbd", "--rng", "host", "--snapshot-every", "1s")
    pauses = []
    with (
        serving(noise(FILE_BYTES), pace=pace, pieces=KILLS) as server,
        DebianSession(home, *options) as session,
        Qmp(home) as qmp,
    ):
        session.do(DHCP)
        session.do(f"wget -q -O /file http://10.0.2.2:{server.port}/file & W=$!")
        session.type("stty -echo; echo CA''T; cat; stty echo")
        session.until(b"CAT\r\n")
        for number in range(KILLS):
            pace.release()
            session.type(f"word-{number}")
            os.kill(home.pid_of("cpu"), signal.SIGKILL)
            back = qmp.await_event("DEJAVM_NODE_BACK")
            qmp.events.clear()
            assert back["data"]["node"] == "cpu"
            pauses.append(back["data"]["pause-ms"])
            assert session.until(b"\r\n") == f"word-{number}\r\n".encode()
        session.type("\x04echo SY''NC")
        session.until(b"SYNC\r\n")
        session.until(PROMPT)
        assert server.sha256 in session.do("wait $W; sha256sum /file")
        print(f"cpu: {KILLS} kills, pauses {pauses} ms")
    assert Recording.open(session.recording).clean_end
    home.verify_both_ways(session.recording)
