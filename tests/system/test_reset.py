"""A machine that begins anew: because the guest asks for it, or its user; recorded, replayed, gone to."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from machine.codec import type_of
from machine.icount import CPU
from machine.message import Reset
from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import console
from tests.harness.monitor import Lines, Qmp, Refused, connect

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

HANDS: Final = "".join(f'expect UP\nsend "{letter}"\n' for letter in "cwtq")
"""A cold restart, a warm one, one by the test device, the end."""
RESET: Final = type_of(Reset)


def restarted(home: Home, *more: str) -> Path:
    """A recording of a guest that has restarted three times."""
    hands = home.script(HANDS)
    return home.record("bare", "--kernel", guest("restart"), "--serial", hands, "--sleep", "off", *more)


def resets(recording: Path) -> list[int]:
    """Where the machine has begun anew."""
    return [frame.icount for frame in Recording.open(recording).frames() if (frame.type, frame.target) == (RESET, CPU)]


def typed(line: socket.socket, text: bytes, answer: bytes) -> None:
    """Type, and wait for what the guest says."""
    line.sendall(text)
    heard = b""
    while not heard.endswith(answer):
        more = line.recv(100)
        assert more, heard
        heard += more


def test_a_guest_that_asks_for_it_begins_anew_in_the_recording_and_in_its_replays(home: Home) -> None:
    recording = restarted(home)
    assert console(recording).count(b"UP\n") == 4
    assert len(resets(recording)) == 3
    home.verify_both_ways(recording)
    assert home.run("snapshots", recording, "--make", "20000").exit_code == 0
    # Each part ends at a snapshot's state and memory, those behind a restart too.
    assert home.run("verify", recording, "--jobs", "99", "--json").json["bit_exact"] is True
    place = resets(recording)[1]
    for at in (place, place + 1):
        sought = home.run("replay", recording, "--seek", str(at), "--json").json
        assert sought == home.run("replay", recording, "--until", str(at), "--json").json


def test_with_no_reboot_the_run_ends_instead(home: Home) -> None:
    path = home.work / "a.dejavm"
    done = home.run(
        "record", "bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "-no-reboot", "-o", path
    )
    assert done.exit_code == 0
    assert "the guest asked for a restart, and --no-reboot ends the run with it" in done.stderr
    assert resets(path) == []
    home.verify_both_ways(path)


def test_its_user_resets_it_asleep_and_a_cpu_that_is_killed_behind_it_comes_back(home: Home) -> None:
    path, place = home.work / "a.dejavm", home.work / "line"
    word = f"unix:{place},server=on"
    running = home.start(
        "record", "bare", "--kernel", guest("restart"), "--serial", word, "--snapshot-every", "100ms", "-o", path
    )
    with closing(connect(place)) as line, Qmp(home) as qmp, Lines(home) as lines:
        typed(line, b"", b"UP\n")
        typed(line, b"a", b"a")
        qmp.execute("snapshot-save", tag="before")
        qmp.execute("system_reset")
        assert qmp.await_event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
        typed(line, b"", b"UP\n")
        qmp.events.clear()
        typed(line, b"c", b"UP\n")
        assert qmp.await_event("RESET")["data"] == {"guest": True, "reason": "guest-reset"}
        os.kill(home.pid_of("cpu"), signal.SIGKILL)
        assert qmp.await_event("DEJAVM_NODE_BACK")["data"]["node"] == "cpu"
        typed(line, b"b", b"b")
        lines.line("system_reset")
        typed(line, b"", b"UP\n")
        qmp.execute("snapshot-save", tag="behind")
        typed(line, b"q", b"")
        assert qmp.await_event("SHUTDOWN")["data"]["reason"] == "guest-shutdown"
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert len(resets(path)) == 3
    home.verify_both_ways(path)
    running = home.start("replay", path, "--devices", "live", "--json", "-S")
    with Qmp(home) as qmp:
        with pytest.raises(Refused, match="system_reset: this is a replay"):
            qmp.execute("system_reset")
        for tag in ("behind", "before"):
            qmp.execute("snapshot-load", tag=tag)
        qmp.execute("cont")
        assert qmp.await_event("RESET")["data"]["reason"] == "host-qmp-system-reset"
    assert running.finish().json["digest"] == Recording.open(path).summary().digest.hex()


def test_with_no_reboot_a_reset_by_its_user_ends_the_run(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "--kernel", guest("restart"), "--serial", "null", "--no-reboot", "-o", path)
    with Qmp(home) as qmp:
        qmp.execute("system_reset")
        qmp.await_event("SHUTDOWN")
    assert running.finish().exit_code == 0
    assert (resets(path), Recording.open(path).clean_end) == ([], True)
