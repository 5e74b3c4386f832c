"""Machines as services: up under supervisor, a blocking access over tcp with keys, a recording verified in parts."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from deploy.supervision.place import find
from machine.codec import decode
from machine.distant import DistantPort
from machine.icount import BROKER, FIRST_DEVICE
from machine.keys import KeyRing
from machine.message import WIRE_VERSION, Access, AccessKind, Done, Grant, Hello, MmioAccess, Ready, Sync, Welcome
from machine.port import Port
from tests.bench.boot import BOOT, CONSOLE, COUNT, Workload, netboot, run_command
from tests.bench.machine import ASLEEP, IDLE_S, idle_s
from tests.bench.process import dejavm, measure, side_by_side
from tests.harness.guests import BARE

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.guest import Guest

BLOCK: Final = 100
"""Accesses in a row, before the other kind has its turn."""
BLOCKS: Final = 40
PATIENCE_S: Final = 30.0
LINE_STATUS: Final = 5
MORE: Final = ("--nic", "none", "--input", "kbd")
SIX: Final = ("debian", "--serial", "null", *MORE)
"""Broker, CPU, serial line, clock, network card, keyboard."""


class Far:
    """A real broker and a real serial device, with ourselves as their CPU, all on this host."""

    def __init__(self, directory: Path, *, keys: bool) -> None:
        directory.mkdir()
        board = directory / "board.toml"
        board.write_text(BARE.replace('backend = "stdio"', 'backend = "null"'))
        bus, control = f"ipc://{directory / 'bus'}", f"ipc://{directory / 'control'}"
        broker = ["--board", str(board), "--bus", bus, "--control", control, "--mode", "none"]
        device = ["--board", str(board), "--node", "serial0"]
        if keys:
            ring = KeyRing(directory)
            for name in ("broker", "operator", "cpu", "serial0"):
                ring.make(name)
            place = f"127.0.0.1:{_free_port()}"
            broker += ["--remote", place, "--keys", str(directory)]
            device += ["--broker", f"tcp://{place}", "--keys", str(directory)]
            self.port: Port = DistantPort(f"tcp://{place}", ring.client("cpu"))
        else:
            device += ["--broker", bus]
            self.port = Port(bus)
        python = (sys.executable, "-P", "-m")
        self._processes = [
            subprocess.Popen([*python, module, *words])
            for module, words in (("replay_broker", broker), ("devices", device))
        ]
        self._power_on()

    def ask(self) -> None:
        """One read of a register, and its answer."""
        self.port.send(MmioAccess((Access(AccessKind.READ, LINE_STATUS, 1),)), FIRST_DEVICE, 0)
        self._await(Done)

    def end(self) -> None:
        """Nothing is left."""
        for process in self._processes:
            process.kill()
            process.wait()
        self.port.close(0)

    def _power_on(self) -> None:
        self.port.send(Hello(WIRE_VERSION, "cpu", os.getpid(), "/dev/null"), BROKER, 0)
        self._await(Welcome)
        self.port.number = 1
        self.port.send(Ready(), BROKER, 0)
        self.port.send(Sync(), BROKER, 0)
        self._await(Grant)

    def _await(self, wanted: type) -> None:
        while True:
            frame = self.port.receive(PATIENCE_S)
            assert frame is not None
            if isinstance(decode(frame.type, frame.payload), wanted):
                return


def measure_service(directory: Path, guest: Guest, rounds: int) -> dict[str, float | int]:
    """All figures of services."""
    return {
        **_starts(directory, rounds),
        **_idle(directory),
        **_accesses(directory),
        **_parts(directory, guest, rounds),
    }


def _starts(directory: Path, rounds: int) -> dict[str, float]:
    """Six processes under supervisor, from the command to the guest's first instructions."""
    taken = []
    for _ in range(rounds):
        taken.append(measure(dejavm("up", *SIX, "--name", "bench"), directory).wall_s)
        measure(dejavm("down", "bench", "--timeout", "0"), directory)
    return {"s up, six processes": round(statistics.median(taken), 2)}


def _idle(directory: Path) -> dict[str, float]:
    """All processes of a recorded machine whose guest sleeps, supervisor and its listener among them."""
    console = directory / "asleep.txt"
    asleep = ("--append", f"{CONSOLE} dejavm.run={quote(ASLEEP, safe='')}", "--serial", f"file:{console}")
    measure(dejavm("up", "debian", *MORE, *asleep, "--record", "-o", "asleep.dejavm", "--name", "bench"), directory)
    places = find("bench", "dejavm ps")
    used = idle_s(places.supervisor_pid() or 0, console)
    measure(dejavm("down", "bench", "--timeout", "0"), directory)
    return {"idle % of a core, supervised": round(100 * sum(used.values()) / IDLE_S, 2)}


def _accesses(directory: Path) -> dict[str, float]:
    machines = {"local": Far(directory / "local", keys=False), "far": Far(directory / "far", keys=True)}
    times: dict[str, list[float]] = {name: [] for name in machines}
    for _ in range(BLOCKS):
        for name, machine in machines.items():
            started = time.perf_counter()
            for _ in range(BLOCK):
                machine.ask()
            times[name].append(1e6 * (time.perf_counter() - started) / BLOCK)
    for machine in machines.values():
        machine.end()
    ratios = [far / local for far, local in zip(times["far"], times["local"], strict=True)]
    medians = {f"us access, {name}": round(statistics.median(values), 1) for name, values in times.items()}
    return {**medians, "far / local": round(statistics.median(ratios), 3)}


def _parts(directory: Path, guest: Guest, rounds: int) -> dict[str, float]:
    """Boots, and one that goes on, verified in one pass, by one worker and by two."""
    workloads = (BOOT, netboot(guest, directory), COUNT)
    return {name: value for workload in workloads for name, value in _verified(directory, workload, rounds).items()}


def _verified(directory: Path, workload: Workload, rounds: int) -> dict[str, float]:
    recording = f"{workload.name}.dejavm"
    measure(run_command("record", workload, recording), directory)
    measure(dejavm("snapshots", recording, "--make"), directory)
    ways = {"one pass": (), "one worker": ("--jobs", "1"), "two workers": ("--jobs", "2")}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    both: list[float] = []
    for _ in range(rounds):
        for name, words in ways.items():
            measured = measure(dejavm("verify", recording, *words), directory)
            wall[name].append(measured.wall_s)
            cpu[name].append(measured.cpu_s)
        both.append(side_by_side(dejavm("verify", recording, "--jobs", "1"), directory, 2))
    figures = {f"s verify {workload.name}, {name}": round(statistics.median(wall[name]), 2) for name in ways}
    figures |= {f"CPU s verify {workload.name}, {name}": round(statistics.median(cpu[name]), 2) for name in ways}
    for name in ("one pass", "one worker"):
        ratio = statistics.median(a / b for a, b in zip(wall[name], wall["two workers"], strict=True))
        figures[f"{workload.name}, {name} / two workers"] = round(ratio, 2)
    # Two that have nothing to do with each other: what could be had of the host's cores at that moment.
    most = statistics.median(2 * one / two for one, two in zip(wall["one worker"], both, strict=True))
    figures[f"{workload.name}, what two cores give"] = round(most, 2)
    return figures


def _free_port() -> int:
    """A port of the loopback that was free a moment ago; so was the next one, as a rule."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
