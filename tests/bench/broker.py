"""The broker: messages a second, a round trip through it against a bare one, reading what it wrote, its memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from machine.board import parse_board
from machine.frame import Frame
from machine.icount import BROKER, CPU, FIRST_DEVICE
from machine.message import Access, AccessKind, Done, HostOutput, MmioAccess, PowerOff, PowerOffReason, RunState, Sync
from machine.recording.facts import gather_facts
from machine.recording.reader import Recording
from replay_broker.ledger import LogLedger
from replay_broker.outcome import Outcome
from replay_broker.session.record import RecordSession
from tests.bench.peers import FORWARDED, ICOUNT, LAST, OUTPUTS, READ, connect, digest, join, pair
from tests.harness.guests import BARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import zmq

BLOCK: Final = 60
"""Round trips in a row, before the other kind has its turn."""
BLOCKS: Final = 60
IN_FLIGHT: Final = 64
"""Accesses under way while throughput is measured: nobody waits."""
ACCESSES: Final = 40_000
POSTED: Final = 256
"""Posted stores of one batch: a few lines of a console; the CPU node gathers up to 4,096."""
SYNTHETIC: Final = 5_000_000
"""Messages that a busy machine exchanges in an hour."""
LOOKS: Final = 10
KEPT_EVERY: Final = 4096
"""Messages between two of a device's Checkpoints."""
READ_BACK: Final = 400_000


class Machine:
    """A real broker, recording, with a synthetic device behind it and ourselves as its CPU."""

    def __init__(self, directory: Path, name: str, outputs: int) -> None:
        directory.mkdir()
        board = directory / "board.toml"
        board.write_text(BARE.replace('backend = "stdio"', 'backend = "null"'))
        self.recording = directory / f"{name}.dejavm"
        bus = f"ipc://{directory / 'bus'}"
        python = (sys.executable, "-m")
        self._processes = [
            subprocess.Popen(
                [*python, "replay_broker", "--board", board, "--bus", bus, "--mode", "record",
                 "--control", f"ipc://{directory / 'control'}", "--recording", self.recording]
            ),
            subprocess.Popen([*python, "tests.bench.peers", "device", bus, "serial0", str(outputs)]),
        ]  # fmt: skip
        self.socket, _ = join(bus, "cpu", "/dev/null")
        self.broker = self._processes[0]
        self._power_on()

    def ask(self, parts: list[bytes]) -> None:
        """One access and its answer."""
        self.socket.send_multipart(parts)
        self.socket.recv_multipart()

    def end(self) -> None:
        """Switch off; the recording is whole afterwards."""
        self.socket.send_multipart(pair(PowerOff(PowerOffReason.FAILURE), CPU, BROKER))
        self.socket.recv_multipart()  # StateRequest
        self.socket.send_multipart(digest(CPU))
        self.socket.recv_multipart()  # Shutdown
        self._processes[1].wait()
        self.broker.terminate()  # it stays for control clients, of which there are none
        self.broker.wait()
        self.socket.close()

    def _power_on(self) -> None:
        """The first sync point: the device is reset, then comes the Grant."""
        self.socket.send_multipart(pair(Sync(), CPU, BROKER))
        taken = 0
        while taken < 4:  # SyncPoint and Grant, a header and a payload each
            taken += len(self.socket.recv_multipart())


def measure_broker(directory: Path) -> dict[str, float | int]:
    """All of the broker's figures."""
    return {
        **_round_trips(directory / "trips"),
        **_throughput(directory / "alone", 0),
        **_throughput(directory / "breaths", OUTPUTS),
        **_reading(directory / "reading"),
        **_memory(directory / "memory"),
    }


def _round_trips(directory: Path) -> dict[str, float]:
    """A blocking access against a bare round trip, block by block in turn; a posted store beside it."""
    machine = Machine(directory, "trips", 0)
    access = pair(READ, CPU, FIRST_DEVICE)
    stores = MmioAccess((Access(AccessKind.WRITE, 0, 1, data=bytes(range(256)) * (POSTED // 256)),))
    posted = pair(stores, CPU, FIRST_DEVICE)
    times: dict[str, list[float]] = {"bare": [], "access": [], "posted": []}
    with _bare(directory) as socket:

        def bare() -> None:
            socket.send_multipart(access)
            socket.recv_multipart()

        kinds: dict[str, Callable[[], None]] = {
            "bare": bare, "access": lambda: machine.ask(access), "posted": lambda: machine.ask(posted),
        }  # fmt: skip
        for _ in range(BLOCKS):
            for name, once in kinds.items():
                times[name].append(_median_us(once))
        socket.send_multipart([access[0], LAST])
    machine.end()
    ratios = [mine / theirs for mine, theirs in zip(times["access"], times["bare"], strict=True)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "us bare round trip": round(medians["bare"], 1),
        "us blocking access": round(medians["access"], 1),
        "access / bare": round(statistics.median(ratios), 3),
        "us posted store": round(medians["posted"] / POSTED, 2),
        "access / posted store": round(medians["access"] * POSTED / medians["posted"], 1),
    }


def _median_us(once: Callable[[], None]) -> float:
    taken = []
    for _ in range(BLOCK):
        started = time.perf_counter()
        once()
        taken.append(time.perf_counter() - started)
    return 1e6 * statistics.median(taken)


@contextmanager
def _bare(directory: Path) -> Iterator[zmq.Socket[bytes]]:
    """The forwarder and its far end; our socket."""
    endpoint = f"ipc://{directory / 'bare'}"
    python = (sys.executable, "-m", "tests.bench.peers")
    processes = [subprocess.Popen([*python, role, endpoint]) for role in ("forward", "echo")]
    socket = connect(endpoint, FORWARDED[0])
    # The forwarder drops what is for somebody it has not heard of: both must have been heard.
    socket.send_multipart([b"", b" "])
    while not socket.poll(50):
        socket.send_multipart([b"", b" "])
    socket.recv_multipart()
    while socket.poll(200):
        socket.recv_multipart()
    yield socket
    for process in processes:
        process.wait()
    socket.close()


def _throughput(directory: Path, outputs: int) -> dict[str, float | int]:
    """Messages a second through record, with many accesses under way; the broker's own CPU time for one."""
    machine = Machine(directory, "throughput", outputs)
    parts, socket = pair(READ, CPU, FIRST_DEVICE), machine.socket
    before = _cpu_s(machine.broker.pid)
    started = time.perf_counter()
    sent = answered = 0
    while answered < ACCESSES:
        while sent < ACCESSES and sent - answered < IN_FLIGHT:
            socket.send_multipart(parts)
            sent += 1
        answered += len(socket.recv_multipart()) // 2
    wall_s = time.perf_counter() - started
    cpu_s = _cpu_s(machine.broker.pid) - before
    machine.end()
    messages = ACCESSES * (2 + outputs)
    assert Recording.open(machine.recording).messages >= messages
    kind = f"in breaths of {outputs + 1}" if outputs else "alone"
    return {
        f"messages/s {kind}": int(messages / wall_s),
        f"broker us/message {kind}": round(1e6 * cpu_s / messages, 2),
    }


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _session(directory: Path) -> tuple[RecordSession, Callable[[int], None]]:
    """A recording session without sockets, and what feeds it so many accesses and answers."""
    board = replace(parse_board(BARE, "bench"), sleep=False)
    session = RecordSession(board, lambda _: None, LogLedger(directory, board, gather_facts(board, time.time_ns())))
    access, output, done = (pair(message, 0, 0)[1] for message in (READ, HostOutput(b"0123456789" * 5), Done()))
    rows = ((64, CPU, FIRST_DEVICE, access), (73, FIRST_DEVICE, BROKER, output), (65, FIRST_DEVICE, CPU, done))
    icount = ICOUNT

    def feed(messages: int) -> None:
        nonlocal icount
        for _ in range(messages // len(rows)):
            icount += 5000
            for kind, source, target, payload in rows:
                session.handle(Frame(kind, source, target, icount, payload))
            session.write_down()
            if session.messages // KEPT_EVERY != (session.messages - len(rows)) // KEPT_EVERY:
                # As a device's Checkpoint does, which the broker's shell hands on.
                session.pasts[FIRST_DEVICE].forget(session.messages)

    return session, feed


def _reading(directory: Path) -> dict[str, float | int]:
    """Messages a second of what verify and dump read, and of what dump prints."""
    session, feed = _session(directory)
    feed(READ_BACK)
    session.fail(Outcome(RunState.FAILED))
    recording = Recording.open(directory)
    started = time.perf_counter()
    count = sum(1 for _ in recording.frames())
    read_s = time.perf_counter() - started
    started = time.perf_counter()
    with open(os.devnull, "w", encoding="ascii") as nowhere:
        subprocess.run([sys.executable, "-m", "deploy", "dump", directory], stdout=nowhere, check=True)
    dump_s = time.perf_counter() - started
    return {"messages/s read": int(count / read_s), "messages/s dump": int(count / dump_s)}


def _memory(directory: Path) -> dict[str, float | int]:
    """Resident memory of a recording session, ten times in as many messages as an hour may bring."""
    program = f"from pathlib import Path; from tests.bench.broker import grow; grow(Path({str(directory)!r}))"
    argv = [sys.executable, "-c", program]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return {f"RSS MiB after {i + 1}/{LOOKS} of {SYNTHETIC:,}": float(value) for i, value in enumerate(lines)}


def grow(directory: Path) -> None:
    """Feed a session in this process; prints its resident MiB ten times."""
    session, feed = _session(directory)
    for _ in range(LOOKS):
        feed(SYNTHETIC // LOOKS)
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        sys.stdout.write(f"{pages * os.sysconf('SC_PAGE_SIZE') / (1 << 20):.1f}\n")
    session.fail(Outcome(RunState.FAILED))
