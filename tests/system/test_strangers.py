"""Strangers at a running machine's door: refused, counted, and the recording is what it would have been."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.resolve import load_board
from machine.board import render_board
from tests.harness.guests import guest
from tests.harness.machine import ROOT, TIMEOUT_S, console, typed
from tests.harness.ports import free_port
from tests.harness.service import Service
from tests.harness.stranger import NO_KEY

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system

MESSAGES = 10_000
RATE = 5_000
MORE_KB = 64 << 10
"""What the broker may grow by: 100 MB of messages pass by it."""


def test_ten_thousand_messages_of_a_stranger_change_nothing(home: Home) -> None:
    machine = Service(home, "m")
    options = ("--kernel", guest("echo"), "--serial", "unix:s,server=on", "--record", "-o", "a.dejavm")
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as text:
        recording = machine.up("bare", *options, meanwhile=lambda: home.call(line, home.work / "s"))
        assert recording is not None
        assert text.readline() == b"READY\n"
        broker = machine.pids()["broker"]
        before = _memory_kb(broker, "VmRSS")
        command = [sys.executable, "-P", "-m", "tests.harness.stranger", f"ipc://{machine.directory}/bus"]
        flood = subprocess.Popen([*command, str(MESSAGES), str(RATE)], cwd=ROOT, stdout=subprocess.PIPE)
        assert flood.stdout is not None
        lines = 0
        while flood.poll() is None:
            text.write(b"line %d\n" % lines)
            text.flush()
            assert text.readline() == b"LINE %d\n" % lines
            lines += 1
        flood.stdout.close()
        assert flood.returncode == 0
        found = machine.await_ps(lambda ps: ps["refused"] >= MESSAGES)
        assert found["state"] == "running"
        # The most that it ever was, not what is left.
        assert _memory_kb(broker, "VmHWM") - before < MORE_KB
        text.write(b"\x04")
        text.flush()
        machine.await_state("ended")
    assert (machine.directory / "logs" / "broker.log").stat().st_size < 10_000
    machine.down()
    assert typed(recording) == b"".join(b"line %d\n" % n for n in range(lines)) + b"\x04"
    assert b"LINE 0\n" in console(recording)
    home.verify_both_ways(recording)


def test_a_second_process_that_claims_a_name_is_sent_away(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    pid = machine.pids()["serial0"]
    said = _serial0(machine.directory / "machine.toml", f"ipc://{machine.directory}/bus")
    assert f"node serial0 is already here, process {pid}" in said
    found = machine.ps()
    assert (found["state"], found["refused"], machine.pids()["serial0"]) == ("running", 1, pid)
    machine.down()


def test_nobody_comes_in_over_tcp_but_with_his_own_key(home: Home) -> None:
    board, port = _board_with_hosts(home)
    machine = Service(home, "m")
    keys = home.work / "keys"
    assert home.run("keygen", keys, board).exit_code == 0
    assert "cannot make the directory" in home.run("keygen", keys, board).complaint
    home.run("keygen", home.work / "other", board)
    shutil.copy(keys / "broker.public", home.work / "other")
    shutil.copytree(keys, home.work / "stolen")
    for suffix in ("public", "private"):
        shutil.copy(keys / f"rtc0.{suffix}", home.work / "stolen" / f"serial0.{suffix}")
    shutil.copytree(keys, home.work / "open")
    (home.work / "open" / "serial0.private").chmod(0o640)
    recording = machine.up(str(board), "--host", "a", "--keys", keys, "--record", "-o", "a.dejavm")
    pid = machine.pids()["serial0"]
    for words, says in (
        (("--keys", str(keys)), f"node serial0 is already here, process {pid}"),
        (("--keys", str(home.work / "other")), "the broker does not know this node's key"),
        (("--keys", str(home.work / "stolen")), "the key is rtc0's, not serial0's"),
        (("--keys", str(home.work / "open")), "others may read this secret key; run: chmod 600"),
        ((), "the broker did not answer within 1 s"),
    ):
        before = machine.ps()["refused"]
        said = _serial0(machine.directory / "machine.toml", f"tcp://127.0.0.1:{port}", "--wait", "1", *words)
        assert says in said, said
        if not words:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(NO_KEY)
                machine.await_ps(lambda ps, before=before: ps["refused"] > before)
        elif "chmod" not in says:
            machine.await_ps(lambda ps, before=before: ps["refused"] > before)
    assert (machine.ps()["state"], machine.pids()["serial0"]) == ("running", pid)
    logs = b"".join(path.read_bytes() for path in (machine.directory / "logs").iterdir())
    machine.down()
    assert recording is not None
    written = b"".join(path.read_bytes() for path in recording.rglob("*") if path.is_file())
    for key in keys.glob("*.private"):
        assert key.read_bytes().strip() not in logs + written
    home.verify_both_ways(recording)


def _board_with_hosts(home: Home) -> tuple[Path, int]:
    """The echo guest with all its processes on one host, which others may reach over tcp, and its port."""
    bare, _ = load_board("bare")
    board = replace(bare, kernel=str(guest("echo"))).with_backend("serial0", "ringbuf")
    port = free_port()
    text = render_board(board).replace("[machine]\n", '[machine]\nbroker_host = "a"\n')
    return home.file("far.toml", f'{text}\n[hosts.a]\naddress = "127.0.0.1"\nport = {port}\n'), port


def _serial0(board: Path, endpoint: str, *words: str) -> str:
    """What another process of that name says; it must end by itself."""
    command = [sys.executable, "-P", "-m", "devices", "--node", "serial0", "--board", str(board), "--broker", endpoint]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode != 0
    return done.stderr


def _memory_kb(pid: int, kind: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(f"{kind}:")).split()[1])
