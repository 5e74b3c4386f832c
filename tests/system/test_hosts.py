"""A machine on three hosts: recorded there, replayed on one; over a network that fails, too."""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deploy.devices import DeviceWords, with_devices
from deploy.environment import cache_directory
from deploy.resolve import MachineOptions, load_board, resolve_board
from tests.harness.far_service import NAME, FarService
from tests.harness.guests import BARE, DMACOPY, guest
from tests.harness.hosts import Network, Weather
from tests.harness.lines import await_text
from tests.harness.machine import TIMEOUT_S, Home, final_digest
from tests.harness.net_namespace import run_alone
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import SocketIO

    from machine.board import Board

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

LONG_S = 220.0
PARTED_S = 5.0
STARTED = 100_000
ASK = b"exec 3</dev/input/event0; dd if=/dev/hwrng bs=64 count=4 | wc -c; head -c 1 <&3 >/dev/null; exit\n"
"""Reads random bytes by DMA, then waits for a key."""


@contextmanager
def far_machine(board: Board, places: dict[str, str]) -> Iterator[tuple[Home, Network, FarService]]:
    """A machine that is not up yet, on hosts a, b and c; nothing is left of it."""
    home, network = Home(), Network(("a", "b", "c"))
    try:
        far = FarService(home, network, board, places)
        try:
            yield home, network, far
        except BaseException:
            sys.stderr.write(far.said())
            raise
        assert home.left_behind() == []
        home.remove()
    finally:
        home.end()
        network.close()


def echo_board() -> Board:
    """The echo guest on a line that the test holds the other end of."""
    board, _ = load_board("bare")
    return replace(board, kernel=str(guest("echo"))).with_backend("serial0", "unix:s,server=on")


def ask(text: SocketIO, word: bytes) -> None:
    """The guest says it again in capitals."""
    text.write(word + b"\n")
    text.flush()
    hear(text, word.upper())


def hear(text: SocketIO, word: bytes) -> None:
    """The guest says a line."""
    assert text.readline() == word + b"\n"


def three_hosts() -> None:
    """The broker on one, the CPU on another, all devices on a third, from where the guest is switched off."""
    home_board = resolve_board("debian", MachineOptions(), cache_directory())
    board = with_devices(home_board, DeviceWords(nic=("none",), rng=("seed=7",), input=("kbd",)))
    board = board.with_backend("serial0", "unix:s,server=on")
    places = {"broker": "a", "cpu": "b", **{slot.name: "c" for slot in board.devices}}
    with far_machine(board, places) as (home, _, far):
        with socket.socket(socket.AF_UNIX) as line:
            far.up(
                "--record", "-o", "a.dejavm", "--snapshot-every", "500ms",
                meanwhile=lambda: home.call(line, home.work / "s"),
            )  # fmt: skip
            line.settimeout(TIMEOUT_S)
            await_text(line, b"/ # ")
            line.sendall(ASK)
            await_text(line, b"256\r")
            # This host has neither broker nor keyboard.
            done = far.run("b", "down", NAME, "--timeout", "60")
        assert (done.exit_code, done.stdout) == (0, f"{NAME} is down: the guest has switched off\n"), done.stderr
        assert [far.await_ps(lambda ps: ps["state"] == "ended")["detail"], far.ps("c")["state"]] == ["", "ended"]
        far.down()
        recording = home.work / "a.dejavm"
        assert home.verify(recording, "--devices", "live") == final_digest(recording)
        assert home.run("snapshots", recording, "--json").json["damage"] == []
        parts = home.run("verify", recording, "--json", "--jobs", "2")
        assert (parts.exit_code, parts.json["parts"]) == (0, 2), parts.stderr


def a_network_that_fails() -> None:
    """Late frames, lost frames, and five seconds of none."""
    with far_machine(echo_board(), {"broker": "a", "cpu": "b", "serial0": "c", "rtc0": "c"}) as (home, network, far):
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb", buffering=0) as text:
            far.up("--record", "-o", "a.dejavm", meanwhile=lambda: home.call(line, home.work / "s"))
            hear(text, b"READY")
            ask(text, b"fine")
            network.weather = Weather(delay_s=0.05, jitter_s=0.01, loss=0.01)
            for number in range(4):
                ask(text, b"late %d" % number)
            network.weather.parted = True
            parted_s = time.monotonic()
            text.write(b"lost\n")
            text.flush()
            # What was typed waits on its host; what the guest polls for is asked of it, too.
            far.await_ps(lambda _: time.monotonic() - parted_s > PARTED_S)
            network.weather.parted = False
            hear(text, b"LOST")
            network.weather = Weather()
            ask(text, b"fine again")
            text.write(b"\x04")
            text.flush()
            assert far.await_ps(lambda ps: ps["state"] == "ended")["detail"] == ""
        assert network.lost > 0
        far.down()
        home.verify_both_ways(home.work / "a.dejavm")


def a_device_out_of_reach() -> None:
    """The machine stands, says for whom it waits, and goes on."""
    board = echo_board().with_backend("serial0", "ringbuf")
    board = replace(board, kernel=str(guest("chatter")))
    with far_machine(board, {"broker": "a", "cpu": "a", "serial0": "c", "rtc0": "b"}) as (home, network, far):
        alone = far.run("a", "up", far.board, "--host", "a", "--keys", far.keys, "--name", NAME, "--wait", "2")
        assert (alone.exit_code, "not here after 2 s: serial0, rtc0" in alone.complaint) == (1, True), alone.stderr
        assert not far.directory("a").exists()
        network.weather = Weather(delay_s=0.05)
        far.up("--record", "-o", "a.dejavm")
        far.await_ps(lambda ps: ps["icount"] > STARTED)
        network.weather = Weather(parted=True)
        waiting = far.await_ps(lambda ps: re.match(r"serial0 \((?![0-2] s)", ps["waiting_for"]) is not None)
        assert [node["state"] for node in waiting["nodes"] if node["name"] == "serial0"] == ["awaited"]
        network.weather = Weather()
        stood = waiting["icount"]
        far.await_ps(lambda ps: ps["waiting_for"] == "" and ps["icount"] > stood)
        logs = far.run("a", "logs", "--name", "far", "broker").stdout
        assert "waiting for serial0 (2 s)" in logs
        assert "it goes on after" in logs
        files = [path for host in far.hosts for path in far.directory(host).rglob("*") if path.is_file()]
        told = b"".join(path.read_bytes() for path in files if not path.name.startswith(("journal-", "ringbuf-")))
        far.down()
        secrets = [key.read_bytes().strip() for key in far.keys.glob("*.private")]
        written = b"".join(path.read_bytes() for path in (home.work / "a.dejavm").rglob("*") if path.is_file())
        assert len(secrets) == 5
        assert not any(len(secret) != 40 or secret in written + told for secret in secrets)
        home.verify_both_ways(home.work / "a.dejavm")


@pytest.mark.debian
def test_debian_on_three_hosts_replays_on_one() -> None:
    run_alone(three_hosts, timeout_s=LONG_S)


def test_a_network_that_fails_slows_the_machine_and_changes_nothing() -> None:
    run_alone(a_network_that_fails, timeout_s=LONG_S)


def test_a_machine_says_for_whom_it_waits_and_goes_on() -> None:
    run_alone(a_device_out_of_reach, timeout_s=LONG_S)


def test_a_device_that_reads_memory_by_messages_is_the_same_device(home: Home) -> None:
    board = home.file("dma.toml", BARE + DMACOPY)
    rig = Rig(extra={"dma0": ("--remote-memory",)})
    recording = home.record(board, "--kernel", guest("dma"), "--serial", "null", rig=rig, timeout_s=LONG_S)
    assert home.verify(recording, "--devices", "live", timeout_s=LONG_S) == final_digest(recording)
