"""The 16550A does to guests what the chip does, with and without the CPU node's short cuts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.serial import registers as r
from devices.serial.model import Serial
from devices.serial.state import FIFO_BYTES, TRANSMIT_LIMIT
from machine.message import FifoData, HostEvent, HostOutput, IrqLevel, RegisterMap
from tests.harness.fake_context import DirectCpu, FakeContext, TreatingCpu

FIFO_ON = r.FCR_ENABLE
CPUS = [DirectCpu, TreatingCpu]


def powered(kind: type[DirectCpu] = TreatingCpu, fifo: bool = True) -> DirectCpu:
    cpu = kind(Serial())
    cpu.reset()
    if fifo:
        cpu.store(r.INTERRUPT_ID, FIFO_ON)
    return cpu


def take(cpu: DirectCpu) -> bytes:
    out = bytearray()
    while cpu.load(r.LINE_STATUS) & r.LSR_DATA:
        out.append(cpu.load(r.DATA))
    return bytes(out)


def send(cpu: DirectCpu, data: bytes) -> None:
    for byte in data:
        cpu.store(r.DATA, byte)


@pytest.mark.parametrize("kind", CPUS)
def test_bytes_come_out_in_the_order_they_went_in(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.host_input(HostEvent.DATA, b"hello")
    cpu.host_input(HostEvent.DATA, b" world")
    assert take(cpu) == b"hello world"
    assert cpu.load(r.DATA) == 0


def test_polling_and_sending_cost_no_round_trip_per_character() -> None:
    cpu = powered()
    cpu.host_input(HostEvent.DATA, b"x" * 200)
    calls = cpu.calls
    assert take(cpu) == b"x" * 200
    for byte in b"y" * 200:
        assert cpu.load(r.LINE_STATUS) & r.LSR_HOLDING_EMPTY
        cpu.store(r.DATA, byte)
    cpu.flush()
    assert cpu.calls - calls == 2
    assert cpu.context.written == b"y" * 200


def test_a_batch_of_stores_is_one_output() -> None:
    model, context = Serial(), FakeContext()
    model.reset(context)
    model.settle(context)
    context.effects.clear()
    for byte in b"abc":
        model.write(r.DATA, 1, byte, context)
    model.settle(context)
    assert context.effects == [HostOutput(b"abc")]


@pytest.mark.parametrize("kind", CPUS)
def test_the_transmitter_interrupt_comes_with_its_enabling_and_goes_with_its_report(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.store(r.INTERRUPT_ENABLE, r.IER_TRANSMIT)
    assert cpu.line()
    assert cpu.load(r.INTERRUPT_ID) & 0x0F == r.IIR_TRANSMIT
    assert not cpu.line()
    assert cpu.load(r.INTERRUPT_ID) & 0x0F == r.IIR_NONE
    cpu.store(r.DATA, 0x41)
    cpu.flush()
    assert cpu.line()
    cpu.store(r.INTERRUPT_ENABLE, 0)
    assert not cpu.line()
    cpu.store(r.INTERRUPT_ENABLE, r.IER_TRANSMIT)
    assert cpu.line()


@pytest.mark.parametrize("kind", CPUS)
def test_interrupts_are_reported_by_priority(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.store(r.INTERRUPT_ID, FIFO_ON | 0x40)
    cpu.host_input(HostEvent.CLOSED)
    cpu.host_input(HostEvent.BREAK)
    cpu.store(r.INTERRUPT_ENABLE, r.IER_MASK)
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_LINE | r.IIR_FIFO
    assert cpu.load(r.LINE_STATUS) & r.LSR_BREAK
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_TIMEOUT | r.IIR_FIFO
    cpu.host_input(HostEvent.DATA, b"abc")
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_RECEIVED | r.IIR_FIFO
    assert take(cpu) == b"\0abc"
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_TRANSMIT | r.IIR_FIFO
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_MODEM | r.IIR_FIFO
    assert cpu.load(r.MODEM_STATUS) == 0x0B
    assert cpu.load(r.INTERRUPT_ID) == r.IIR_NONE | r.IIR_FIFO
    assert not cpu.line()


def test_the_received_data_interrupt_stays_until_the_last_byte_is_taken() -> None:
    cpu = powered()
    cpu.store(r.INTERRUPT_ENABLE, r.IER_RECEIVED)
    cpu.host_input(HostEvent.DATA, b"ab")
    assert cpu.line()
    cpu.load(r.DATA)
    assert cpu.line()
    cpu.load(r.DATA)
    assert not cpu.line()


@pytest.mark.parametrize("kind", CPUS)
def test_the_divisor_hides_behind_dlab_and_loses_no_input(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.host_input(HostEvent.DATA, b"abc")
    assert cpu.load(r.DATA) == ord("a")
    cpu.store(r.LINE_CONTROL, 0x83)
    cpu.store(0, 0x34)
    cpu.store(1, 0x12)
    cpu.host_input(HostEvent.DATA, b"d")
    assert (cpu.load(0), cpu.load(1)) == (0x34, 0x12)
    cpu.store(r.LINE_CONTROL, 0x03)
    assert cpu.load(r.INTERRUPT_ENABLE) == 0
    assert take(cpu) == b"bcd"


@pytest.mark.parametrize("kind", CPUS)
def test_loopback_turns_the_line_and_the_modem_around(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.store(r.MODEM_CONTROL, r.MCR_LOOPBACK | 0x0A)
    assert cpu.load(r.MODEM_STATUS) & r.MSR_LINES == r.MSR_CARRIER | r.MSR_CTS
    send(cpu, b"me")
    assert take(cpu) == b"me"
    assert cpu.model.input_room() == 0
    cpu.store(r.MODEM_CONTROL, 0)
    assert cpu.load(r.MODEM_STATUS) & r.MSR_LINES == r.MSR_CARRIER | r.MSR_DSR | r.MSR_CTS
    assert cpu.context.written == b""


@pytest.mark.parametrize("kind", CPUS)
def test_loopback_beyond_the_fifo_is_an_overrun(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.store(r.MODEM_CONTROL, r.MCR_LOOPBACK)
    send(cpu, b"z" * (FIFO_BYTES + 1))
    assert cpu.load(r.LINE_STATUS) & r.LSR_OVERRUN
    assert not cpu.load(r.LINE_STATUS) & r.LSR_OVERRUN
    assert len(take(cpu)) == FIFO_BYTES


@pytest.mark.parametrize("kind", CPUS)
def test_a_fifo_reset_discards_what_was_received(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.host_input(HostEvent.DATA, b"old")
    cpu.store(r.INTERRUPT_ID, FIFO_ON | r.FCR_CLEAR_RECEIVER)
    assert not cpu.load(r.LINE_STATUS) & r.LSR_DATA
    cpu.host_input(HostEvent.DATA, b"new")
    assert take(cpu) == b"new"


def test_without_fifos_the_receiver_holds_one_byte() -> None:
    cpu = powered(fifo=False)
    assert cpu.model.input_room() == 1
    cpu.store(r.INTERRUPT_ID, FIFO_ON)
    assert cpu.model.input_room() == FIFO_BYTES
    cpu.host_input(HostEvent.DATA, b"12345")
    assert cpu.model.input_room() == FIFO_BYTES - 5


@pytest.mark.parametrize("kind", CPUS)
def test_a_break_is_seen_with_its_zero_byte_and_not_before(kind: type[DirectCpu]) -> None:
    cpu = powered(kind)
    cpu.host_input(HostEvent.DATA, b"a")
    cpu.host_input(HostEvent.BREAK)
    cpu.host_input(HostEvent.DATA, b"b")
    assert not cpu.load(r.LINE_STATUS) & r.LSR_BREAK
    assert cpu.load(r.DATA) == ord("a")
    assert cpu.load(r.LINE_STATUS) & r.LSR_BREAK
    assert not cpu.load(r.LINE_STATUS) & r.LSR_BREAK
    assert take(cpu) == b"\0b"


def test_a_partial_write_is_finished_when_the_backend_takes_more() -> None:
    cpu = powered()
    cpu.context.takes = 2
    send(cpu, b"abcdef")
    cpu.flush()
    assert cpu.context.written == b"ab"
    assert cpu.load(r.LINE_STATUS) & (r.LSR_HOLDING_EMPTY | r.LSR_ALL_SENT) == r.LSR_HOLDING_EMPTY
    cpu.context.takes = None
    cpu.host_input(HostEvent.WRITABLE)
    assert cpu.context.written == b"abcdef"
    assert cpu.load(r.LINE_STATUS) & r.LSR_ALL_SENT


def test_a_backend_that_takes_nothing_clears_thre_and_its_interrupt_comes_with_the_room() -> None:
    cpu = powered()
    cpu.context.takes = 0
    send(cpu, b"x" * FIFO_BYTES)
    cpu.flush()
    assert not cpu.load(r.LINE_STATUS) & r.LSR_HOLDING_EMPTY
    cpu.store(r.INTERRUPT_ENABLE, r.IER_TRANSMIT)
    cpu.flush()
    assert not cpu.line()
    cpu.context.takes = None
    cpu.host_input(HostEvent.WRITABLE)
    assert cpu.line()
    assert cpu.context.written == b"x" * FIFO_BYTES


def test_a_line_with_nobody_at_the_other_end_loses_what_is_sent_and_never_blocks() -> None:
    cpu = powered()
    cpu.context.broken = True
    send(cpu, b"gone")
    cpu.flush()
    assert cpu.load(r.LINE_STATUS) & r.LSR_ALL_SENT
    assert isinstance(cpu.model, Serial)
    assert cpu.model.state.dropped == 4


def test_a_guest_that_never_waits_cannot_fill_the_host() -> None:
    model, context = Serial(), FakeContext(takes=0)
    model.reset(context)
    model.state.transmit = b"x" * (TRANSMIT_LIMIT - 1)
    model.state.blocked = True
    for _ in range(3):
        model.write(r.DATA, 1, 0x41, context)
    model.settle(context)
    assert len(model.state.transmit) == TRANSMIT_LIMIT
    assert model.state.dropped == 2


def test_the_other_end_comes_and_goes_in_the_modem_status() -> None:
    cpu = powered()
    cpu.host_input(HostEvent.CLOSED)
    assert cpu.load(r.MODEM_STATUS) == 0x0B
    assert cpu.load(r.MODEM_STATUS) == 0
    cpu.host_input(HostEvent.OPENED)
    assert cpu.load(r.MODEM_STATUS) == 0xBB
    assert cpu.load(r.MODEM_STATUS) == 0xB0


def test_a_restart_of_the_machine_forgets_all_but_who_is_at_the_other_end() -> None:
    cpu = powered()
    for event in (HostEvent.CLOSED, HostEvent.OPENED, HostEvent.CLOSED):
        cpu.host_input(event)
        cpu.store(r.SCRATCH, 0x55)
        cpu.reset()
        assert cpu.load(r.SCRATCH) == 0
        assert cpu.load(r.MODEM_STATUS) == (0xB0 if event is HostEvent.OPENED else 0)


def test_effects_say_only_what_has_changed() -> None:
    model, context = Serial(), FakeContext()
    model.reset(context)
    model.settle(context)
    assert [type(effect) for effect in context.effects] == [RegisterMap]
    context.effects.clear()
    model.write(r.SCRATCH, 1, 0x55, context)
    model.settle(context)
    assert context.effects == []
    model.write(r.INTERRUPT_ENABLE, 1, r.IER_RECEIVED, context)
    model.settle(context)
    assert context.effects == []
    model.host_input(HostEvent.DATA, b"k", context)
    model.settle(context)
    assert [type(effect) for effect in context.effects] == [RegisterMap, FifoData, IrqLevel]


def test_a_reset_takes_back_queue_interrupt_and_treatment() -> None:
    cpu = powered()
    cpu.store(r.INTERRUPT_ENABLE, r.IER_RECEIVED)
    cpu.host_input(HostEvent.DATA, b"abc")
    cpu.reset()
    fresh = powered(fifo=False)
    assert isinstance(cpu, TreatingCpu)
    assert isinstance(fresh, TreatingCpu)
    assert cpu.model.state == fresh.model.state
    assert (cpu.line(), bytes(cpu.queue), cpu.registers) == (False, b"", fresh.registers)


LOADS = st.tuples(st.just("load"), st.integers(0, 8), st.just(b""))
STORES = st.tuples(st.just("store"), st.integers(0, 7), st.binary(min_size=1, max_size=1))
SENDS = st.tuples(st.just("store"), st.just(r.DATA), st.binary(min_size=1, max_size=1))
ENABLES = st.tuples(st.just("store"), st.just(r.INTERRUPT_ENABLE), st.integers(0, 15).map(lambda v: bytes((v,))))
CONTROLS = st.sampled_from([r.LINE_CONTROL, r.MODEM_CONTROL])
NORMAL = st.tuples(st.just("store"), CONTROLS, st.sampled_from([b"\0", b"\3"]))
INPUTS = st.tuples(st.just("input"), st.just(0), st.binary(min_size=1, max_size=20))
EVENTS = st.tuples(st.just("event"), st.sampled_from([3, 4, 5]), st.just(b""))
FLUSHES = st.tuples(st.just("flush"), st.just(0), st.just(b""))
Step = tuple[str, int, bytes]
STEPS = st.lists(st.one_of(LOADS, STORES, SENDS, ENABLES, NORMAL, INPUTS, EVENTS, FLUSHES), max_size=80)


def run(cpu: DirectCpu, steps: list[Step]) -> list[int]:
    seen = []
    for what, number, data in steps:
        match what:
            case "load":
                seen.append(cpu.load(number))
            case "store":
                cpu.store(number, data[0])
            case "input":
                cpu.host_input(HostEvent.DATA, data)
            case "event":
                cpu.host_input(HostEvent(number))
            case _:
                cpu.flush()
                seen.append(int(cpu.line()))
    cpu.flush()
    return [*seen, int(cpu.line())]


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_short_cuts_show_the_guest_what_calls_would(steps: list[Step]) -> None:
    direct, treating = powered(DirectCpu), powered(TreatingCpu)
    assert run(treating, steps) == run(direct, steps)
    assert treating.context.written == direct.context.written
    assert isinstance(treating.model, Serial)
    assert isinstance(direct.model, Serial)
    assert treating.model.state.received == direct.model.state.received


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_the_cpu_nodes_copies_are_what_the_device_believes_them_to_be(steps: list[Step]) -> None:
    cpu = powered(TreatingCpu)
    assert isinstance(cpu, TreatingCpu)
    for step in steps:
        run(cpu, [step])
        state = cpu.model.state
        assert bytes(cpu.queue) == state.received[: state.mirrored]
        rows = b"".join(
            bytes((g.offset, g.read, g.write, g.value, g.latch_mask, g.call_mask, g.fifo_mask, g.raise_mask))
            for _, g in sorted(cpu.registers.items())
        )
        assert rows == state.announced
