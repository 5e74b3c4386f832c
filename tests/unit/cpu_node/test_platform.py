"""The RISC-V platform around a real engine's registers: timer, interrupts, firmware calls, state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicorn import riscv_const as r

from cpu_node._engine import Core
from cpu_node.arch import ARCHES
from cpu_node.arch.riscv64 import firmware
from cpu_node.arch.riscv64.platform import ARGUMENTS, NEVER_TICKS, PlatformState, RiscvPlatform
from cpu_node.arch.riscv64.plic import CLAIM, ENABLE, PlicState
from cpu_node.arch.riscv64.registers import MIP_SEIP, MIP_SSIP, MIP_STIP, machine_mode
from machine import vmstate
from machine.board import Board
from machine.message import PowerOffReason
from tests.unit.cpu_node.fake_host import FakeHost

SPEC = ARCHES["riscv64"]


@pytest.fixture
def core() -> Core:
    return Core(SPEC.name, 1 << 20)


@pytest.fixture
def platform(core: Core) -> RiscvPlatform:
    platform = RiscvPlatform(core, Board("test"))
    platform.enter(0x8020_0000, 0x8040_0000)
    return platform


def pending(core: Core) -> int:
    """The hart's pending interrupts."""
    with machine_mode(core):
        return int(core.reg_read(r.UC_RISCV_REG_MIP))


def enable(core: Core, bits: int) -> None:
    """The hart's enabled interrupts."""
    with machine_mode(core):
        core.reg_write(r.UC_RISCV_REG_MIE, bits)


def sbi(
    platform: RiscvPlatform, core: Core, host: FakeHost, extension: int, function: int, *arguments: int
) -> tuple[int, int]:
    """A call as a kernel makes it; a0 and a1 behind it."""
    core.reg_write(r.UC_RISCV_REG_X17, extension)
    core.reg_write(r.UC_RISCV_REG_X16, function)
    for number, value in zip(ARGUMENTS, (*arguments, 0, 0, 0, 0, 0, 0), strict=False):
        core.reg_write(number, value)
    platform.firmware_call(host)
    return int(core.reg_read(r.UC_RISCV_REG_X10)), int(core.reg_read(r.UC_RISCV_REG_X11))


def test_a_kernel_is_entered_in_supervisor_mode_with_hart_and_device_tree(core: Core, platform: RiscvPlatform) -> None:
    del platform
    assert core.reg_read(r.UC_RISCV_REG_PRIV) == 1
    assert core.reg_read(r.UC_RISCV_REG_PC) == 0x8020_0000
    assert (core.reg_read(r.UC_RISCV_REG_X10), core.reg_read(r.UC_RISCV_REG_X11)) == (0, 0x8040_0000)


def test_nothing_is_armed_or_pending_at_power_on(core: Core, platform: RiscvPlatform) -> None:
    platform.settle(1 << 62)
    assert platform.timer_ns() is None
    assert pending(core) == 0


def test_a_timer_is_pending_from_its_time_on_and_until_it_is_armed_again(core: Core, platform: RiscvPlatform) -> None:
    host = FakeHost()
    assert sbi(platform, core, host, firmware.TIME, 0, 50) == (0, 0)
    assert platform.timer_ns() == 5000
    platform.settle(4999)
    assert pending(core) == 0
    platform.settle(5000)
    assert pending(core) == MIP_STIP
    assert platform.timer_ns() is None
    sbi(platform, core, host, firmware.TIME, 0, NEVER_TICKS)
    platform.settle(5001)
    assert pending(core) == 0


def test_a_device_s_line_reaches_the_hart_through_the_controller(core: Core, platform: RiscvPlatform) -> None:
    host = FakeHost()
    platform.write("plic", 40, 4, 1, host)
    platform.write("plic", ENABLE, 4, 1 << 10, host)
    platform.set_line(10, True)
    platform.settle(0)
    assert pending(core) == MIP_SEIP
    assert platform.read("plic", CLAIM, 4) == 10
    platform.settle(0)
    assert pending(core) == 0


def test_settling_leaves_the_software_interrupt_alone(core: Core, platform: RiscvPlatform) -> None:
    host = FakeHost()
    assert sbi(platform, core, host, firmware.IPI, 0, 1, 0) == (0, 0)
    sbi(platform, core, host, firmware.TIME, 0, 0)
    platform.settle(0)
    assert pending(core) == MIP_SSIP | MIP_STIP


def test_a_hart_wakes_by_what_is_pending_and_enabled_whatever_sstatus_says(core: Core, platform: RiscvPlatform) -> None:
    sbi(platform, core, FakeHost(), firmware.TIME, 0, 0)
    platform.settle(0)
    assert not platform.wakes()
    enable(core, MIP_STIP)
    assert platform.wakes()


def test_a_call_puts_back_the_privilege_it_was_made_from(core: Core, platform: RiscvPlatform) -> None:
    sbi(platform, core, FakeHost(), firmware.IPI, 0, 1, 0)
    platform.registers()
    assert core.reg_read(r.UC_RISCV_REG_PRIV) == 1


def test_an_error_of_the_firmware_is_a_negative_number_in_a0(core: Core, platform: RiscvPlatform) -> None:
    assert sbi(platform, core, FakeHost(), 0x1234_5678, 0) == (firmware.ERR_NOT_SUPPORTED & NEVER_TICKS, 0)


def test_a_legacy_call_leaves_a1_alone(core: Core, platform: RiscvPlatform) -> None:
    assert sbi(platform, core, FakeHost(), firmware.LEGACY_PUTCHAR, 0, 65, 77) == (0, 77)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0x5555, PowerOffReason.SHUTDOWN),
        (0x1_3333, PowerOffReason.FAILURE),
        (0x7777, PowerOffReason.REBOOT),
    ],
)
def test_the_test_device_switches_off(value: int, reason: PowerOffReason, platform: RiscvPlatform) -> None:
    host = FakeHost()
    platform.write("test", 0, 4, value, host)
    platform.write("test", 0, 4, 1, host)
    platform.write("test", 4, 4, value, host)
    assert host.ends == [reason]


def test_registers_are_read_in_a_fixed_order_and_reading_changes_nothing(core: Core, platform: RiscvPlatform) -> None:
    first = platform.registers()
    assert platform.registers() == first
    assert first[0] == 0x8020_0000
    core.reg_write(r.UC_RISCV_REG_X5, 1234)
    assert [b for a, b in zip(first, platform.registers(), strict=True) if a != b] == [1234]


def test_the_rounding_mode_is_read_though_the_floating_point_unit_is_off(platform: RiscvPlatform) -> None:
    fcsr = 2 + 31 + 32
    assert platform.registers()[fcsr] == 0
    assert platform.registers()[fcsr] == 0


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_any_access_to_any_register_is_answered(size: int, platform: RiscvPlatform) -> None:
    host = FakeHost()
    for window, _, extent in platform.windows:
        for offset in (0, 1, 4, 0x1000, 0x2000, 0x20_0000, 0x20_0004, extent - 8):
            platform.write(window, offset, size, (1 << 8 * size) - 1, host)
            assert 0 <= platform.read(window, offset, size) < 1 << 64


states = st.builds(
    PlatformState,
    plic=st.builds(
        PlicState,
        priorities=st.tuples(*(st.integers(0, 7) for _ in range(32))),
        enabled=st.integers(0, 2**32 - 1),
        threshold=st.integers(0, 7),
        levels=st.integers(0, 2**32 - 1),
        pending=st.integers(0, 2**32 - 1),
        claimed=st.integers(0, 2**32 - 1),
    ),
    timer_ticks=st.integers(0, NEVER_TICKS),
    timer_pending=st.booleans(),
    shown=st.sampled_from([0, MIP_STIP, MIP_SEIP, MIP_STIP | MIP_SEIP]),
)


@given(states)
def test_the_platform_s_state_comes_back_from_its_canonical_bytes(state: PlatformState) -> None:
    assert vmstate.decode(PlatformState, vmstate.encode(state)) == state
