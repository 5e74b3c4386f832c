"""The shell as a real process: what goes over the wire for each message, in which order, in each mode."""

from __future__ import annotations

import os
import signal
import socket
import termios
from typing import TYPE_CHECKING

import pytest

from devices.rtc import registers as rtc
from devices.serial import registers as r
from devices.serial.model import Serial
from machine.board import RAM_BASE, DeviceSlot
from machine.errors import EXIT_MISTOLD
from machine.icount import CPU
from machine.message import (
    Access,
    AccessKind,
    BackendChanged,
    BackendResult,
    ChangeBackend,
    ClockRead,
    ClockReading,
    Digest,
    DigestScope,
    DmaWrite,
    Done,
    Fault,
    FaultCode,
    FifoData,
    HostEvent,
    HostInput,
    HostOutput,
    IrqLevel,
    Load,
    MmioAccess,
    Quit,
    Ready,
    RegisterMap,
    Reset,
    RunMode,
    Save,
    Saved,
    Shutdown,
    StateRequest,
    StateVersion,
    Sync,
    TimerArm,
    TimerExpired,
)
from machine.vmstate import digest
from tests.harness.fake_broker import FakeBroker
from tests.harness.fake_context import FakeContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.message import Message


class Devices:
    """Devices started by a test, ended after it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.brokers: list[FakeBroker] = []

    def __call__(self, backend: str = "null", kind: str = "serial", stdin: int | None = None) -> FakeBroker:
        directory = self.directory / str(len(self.brokers))
        directory.mkdir()
        slot = DeviceSlot("dev0", kind, 0x1000_0000, irq=10, backend=backend)
        self.brokers.append(FakeBroker(directory, slot, stdin))
        return self.brokers[-1]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Devices]:
    devices = Devices(tmp_path)
    yield devices
    for broker in devices.brokers:
        broker.close()


def write(offset: int, value: int, size: int = 1) -> Access:
    return Access(AccessKind.WRITE, offset, size, value)


def read(offset: int, size: int = 1) -> MmioAccess:
    return MmioAccess((Access(AccessKind.READ, offset, size),))


def text(data: bytes) -> MmioAccess:
    return MmioAccess(tuple(write(r.DATA, byte) for byte in data))


FIFO_ON = MmioAccess((write(r.INTERRUPT_ID, 1),))


def test_a_device_announces_its_registers_and_answers_last_with_the_stamp_it_was_given(device: Devices) -> None:
    broker = device()
    broker.start()
    broker.send(Reset(), icount=7)
    frames = broker.breath()
    assert [(frame.icount, frame.source, frame.target) for frame in frames] == [(7, 2, CPU), (7, 2, 0)]
    assert broker.ask(read(r.LINE_STATUS), 9, CPU) == [Done(0x60)]
    assert broker.stop() == 0


def test_what_the_backend_took_is_said_behind_the_output_and_before_done(device: Devices, tmp_path: Path) -> None:
    broker = device(f"file:{tmp_path}/out")
    broker.start()
    broker.ask(Reset())
    assert broker.ask(text(b"hello"), 5, CPU) == [HostOutput(b"hello"), BackendResult(5), Done()]
    assert (tmp_path / "out").read_bytes() == b"hello"


def test_at_replay_the_recorded_answer_counts_and_the_backend_gets_what_it_says(
    device: Devices, tmp_path: Path
) -> None:
    broker = device(f"file:{tmp_path}/out")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    assert broker.ask(text(b"hello"), 5, CPU) == [HostOutput(b"hello")]
    done = broker.ask(BackendResult(2), 5)
    assert [type(message) for message in done] == [RegisterMap, Done]
    assert (tmp_path / "out").read_bytes() == b"he"


def test_a_local_backend_that_reads_nothing_changes_nothing_at_replay(device: Devices) -> None:
    broker = device("stdio")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    chunk = b"x" * 8192
    for icount in range(50):
        assert broker.ask(text(chunk), icount, CPU) == [HostOutput(chunk)]
        assert broker.ask(BackendResult(len(chunk)), icount) == [Done()]
    assert broker.errors.read_text().count("the replay is not affected") == 1


def test_a_local_backend_gets_the_rest_before_the_replay_ends(device: Devices) -> None:
    broker = device("stdio")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    chunk = b"y" * 150_000
    for _ in range(15):
        broker.ask(text(chunk[:10_000]), 1, CPU)
        broker.ask(BackendResult(10_000), 1)
    broker.send(Shutdown())
    assert broker.process.stdout is not None
    assert broker.process.stdout.read() == chunk


def test_input_comes_no_faster_than_the_device_has_room(device: Devices) -> None:
    out, into = os.pipe()
    broker = device("stdio", stdin=out)
    broker.start()
    broker.ask(Reset())
    assert [type(m) for m in broker.ask(FIFO_ON, 3, CPU)] == [Done]
    os.write(into, b"z" * 1000)
    broker.send(StateRequest(), icount=4)
    frames = broker.breath() + broker.breath()
    stamps = {frame.type: frame.icount for frame in frames}
    assert stamps[34] in (3, 4)
    # The device's 256 bytes are on their way: not one more is read until they are delivered and taken.
    assert broker.ask(read(r.SCRATCH), 5, CPU) == [Done()]
    assert broker.silent()
    filled = broker.ask(HostInput(HostEvent.DATA, b"z" * 256), 6)
    assert FifoData(b"z" * 256) in filled
    assert broker.ask(MmioAccess((Access(AccessKind.POP, 0, 1, 100),)), 7, CPU)[-1] == Done()
    assert broker.receive() == [HostInput(HostEvent.DATA, b"z" * 100)]
    os.close(out)
    os.close(into)


def test_at_replay_input_from_the_backend_is_refused_and_said_once(device: Devices) -> None:
    out, into = os.pipe()
    broker = device("stdio", stdin=out)
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    os.write(into, b"typed")
    os.close(into)
    assert FifoData(b"a") in broker.ask(HostInput(HostEvent.DATA, b"a"), 1)
    while "input is ignored" not in broker.errors.read_text():
        assert broker.process.poll() is None
    assert broker.silent()
    assert broker.stop() == 0
    assert broker.errors.read_text().count("input is ignored") == 1
    os.close(out)


def test_a_script_answers_before_done_and_its_quit_too(device: Devices, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("expect login:\ndelay 2ms\nsend root\nexpect bye\nquit\n")
    broker = device(f"script:{tmp_path}/s")
    broker.start()
    broker.ask(Reset())
    broker.ask(FIFO_ON, 1, CPU)
    root = HostInput(HostEvent.DATA, b"root", 2_000_000)
    assert broker.ask(text(b"login:"), 2, CPU) == [HostOutput(b"login:"), BackendResult(6), root, Done()]
    assert broker.ask(text(b"bye"), 3, CPU) == [HostOutput(b"bye"), BackendResult(3), Quit(), Done()]


def test_a_script_only_listens_at_replay(device: Devices, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("expect bye\nquit\n")
    broker = device(f"script:{tmp_path}/s")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    broker.ask(text(b"bye"), 2, CPU)
    assert broker.ask(BackendResult(3), 2) == [Done()]
    assert broker.ask(read(r.SCRATCH), 3, CPU) == [Done()]


def test_ready_waits_for_the_peer_a_server_waits_for(device: Devices, tmp_path: Path) -> None:
    broker = device(f"unix:{tmp_path}/line,server=on")
    broker.welcome()
    with socket.socket(socket.AF_UNIX) as user:
        while "or say" not in broker.errors.read_text():
            assert broker.process.poll() is None
        assert broker.silent()
        assert broker.errors.read_text().splitlines() == [
            f"dev0: listening on unix:{tmp_path}/line",
            f"dev0: waits for a client on unix:{tmp_path}/line; connect one, or say wait=off",
        ]
        user.connect(f"{tmp_path}/line")
        (ready,) = broker.receive()
        assert ready == Ready((StateVersion("serial16550", 1),))
        # What happened at the backend before power-on comes behind it.
        assert broker.ask(Reset())[1:] == [HostInput(HostEvent.OPENED), Done()]
    assert broker.stop() == 0
    assert not (tmp_path / "line").exists()


def test_a_waiting_server_can_be_sent_home(device: Devices, tmp_path: Path) -> None:
    broker = device(f"unix:{tmp_path}/line,server=on")
    broker.welcome()
    assert broker.stop() == 0


def test_a_killed_device_gives_the_terminal_back(device: Devices) -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    broker = device("stdio", stdin=slave)
    broker.start()
    assert termios.tcgetattr(slave) != before
    broker.process.terminate()
    assert broker.process.wait(20) == 128 + signal.SIGTERM
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_the_escape_key_ends_the_run_once(device: Devices) -> None:
    master, slave = os.openpty()
    broker = device("stdio", stdin=slave)
    broker.start()
    broker.ask(Reset())
    os.write(master, b"\x01x\x01x")
    assert broker.receive() == [Quit()]
    assert broker.stop() == 0
    assert broker.silent()
    os.close(master)
    os.close(slave)


def test_the_digest_is_the_states(device: Devices) -> None:
    broker = device()
    broker.start()
    broker.ask(Reset())
    model, context = Serial(), FakeContext()
    model.reset(context)
    model.settle(context)
    assert broker.ask(StateRequest(), 1) == [Digest(DigestScope.ALL, digest(model.state))]


def test_the_clock_is_the_brokers(device: Devices) -> None:
    broker = device("fixed:0", kind="rtc")
    broker.start()
    assert broker.ask(Reset()) == [Done()]
    assert broker.ask(read(rtc.TIME_LOW, 4), 8, CPU) == [ClockRead()]
    assert broker.ask(ClockReading(0x5_0000_0007), 8) == [Done(7)]
    alarm = MmioAccess((write(rtc.ALARM_HIGH, 5, 4), write(rtc.IRQ_ENABLED, 1, 4), write(rtc.ALARM_LOW, 9, 4)))
    assert broker.ask(alarm, 9, CPU) == [TimerArm(0, 2), Done()]
    assert broker.ask(TimerExpired(0), 10, CPU) == [IrqLevel(True), Done()]


def test_a_device_reads_guest_memory_and_its_own_writes_of_the_same_message(device: Devices) -> None:
    memory = os.memfd_create("memory")
    os.ftruncate(memory, 16 << 20)
    os.pwrite(memory, b"guest memory", 0x1000)
    broker = device(kind="tests.devices.dmacopy:SPEC")
    broker.start(memory_path=f"/proc/{os.getpid()}/fd/{memory}")
    broker.ask(Reset())
    at = RAM_BASE + 0x1000
    copies = (
        *(write(0, at, 8), write(8, at + 64, 8), write(16, 12, 8), write(24, 1, 8)),
        *(write(0, at + 64, 8), write(8, at + 128, 8), write(24, 1, 8)),
    )
    first, second = DmaWrite(at + 64, b"guest memory"), DmaWrite(at + 128, b"guest memory")
    assert broker.ask(MmioAccess(copies), 1, CPU) == [first, second, IrqLevel(True), Done()]
    assert broker.ask(read(32, 8), 2, CPU) == [IrqLevel(False), Done(1)]
    # Outside of memory there are zeroes, and nothing is stored there.
    beyond = (write(0, RAM_BASE - 4, 8), write(8, RAM_BASE + (16 << 20) - 4, 8), write(16, 8, 8), write(24, 1, 8))
    last = DmaWrite(RAM_BASE + (16 << 20) - 4, b"\0" * 4)
    assert broker.ask(MmioAccess(beyond), 3, CPU) == [last, IrqLevel(True), Done()]
    os.close(memory)


@pytest.mark.parametrize(
    ("kind", "backend", "says"),
    [
        ("toaster", "null", "device.dev0.kind: unknown device 'toaster'"),
        ("serial", "telepathy", "dev0: unknown backend 'telepathy'"),
        ("serial", "file:/no/such/file", "dev0: cannot write file /no/such/file"),
    ],
)
def test_what_cannot_be_had_is_a_setup_fault(device: Devices, kind: str, backend: str, says: str) -> None:
    broker = device(backend, kind)
    broker.welcome()
    (fault,) = broker.receive()
    assert isinstance(fault, Fault)
    assert (fault.code, fault.detail.startswith(says)) == (FaultCode.SETUP, True)
    assert broker.process.wait(20) == 2


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Sync(), "sync is not a message for a device"),
        (MmioAccess((Access(AccessKind.READ, 0, 1), write(0, 1))), "access 1 of 2 is a read"),
    ],
)
def test_what_is_not_protocol_is_a_fault(device: Devices, message: Message, says: str) -> None:
    broker = device()
    broker.start()
    (fault,) = broker.ask(message)
    assert isinstance(fault, Fault)
    assert (fault.code, says in fault.detail) == (FaultCode.INTERNAL, True)
    assert broker.process.wait(20) == EXIT_MISTOLD


def test_a_backend_that_cannot_be_recorded_is_refused_at_the_start_and_when_it_is_put_in(
    device: Devices, tmp_path: Path
) -> None:
    wiretap = f"module:tests.outside.dejavm_outside.notebook:Wiretap,{tmp_path}/notes"
    why = f"dev0: {wiretap} cannot be recorded: the guest reads the notebook's own memory"
    broker = device("null")
    broker.start(RunMode.RECORD)
    (changed,) = broker.ask(ChangeBackend("dev0", wiretap))
    assert isinstance(changed, BackendChanged)
    assert changed.error.startswith(why)
    broker = device(wiretap)
    broker.welcome(RunMode.RECORD)
    (fault,) = broker.receive()
    assert isinstance(fault, Fault)
    assert (fault.code, fault.detail.startswith(why)) == (FaultCode.SETUP, True)
    broker = device(wiretap)
    broker.start(RunMode.NONE)
    assert (tmp_path / "notes").read_text() == "opened in NONE at 0\n"


def test_a_device_tells_its_state_and_takes_another_without_a_word_of_the_run(device: Devices) -> None:
    def saved() -> bytes:
        (answer,) = broker.ask(Save())
        assert isinstance(answer, Saved)
        return answer.state

    broker = device()
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    blank = saved()
    store = MmioAccess((Access(AccessKind.WRITE, r.SCRATCH, 1, 0x5A),))
    assert broker.ask(store, 7, CPU)[-1] == Done()
    written = saved()
    assert written != blank
    broker.send(Load(blank))
    assert saved() == blank
    broker.send(Load(written))
    assert broker.ask(read(r.SCRATCH), 9, CPU) == [Done(0x5A)]
    (fault,) = broker.ask(Load(written[:-1]))
    assert isinstance(fault, Fault)
    assert "saved state ends at byte" in fault.detail
