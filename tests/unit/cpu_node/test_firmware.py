"""The supervisor binary interface: every call a kernel may make, and those it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu_node.arch.riscv64 import firmware as f
from machine.message import PowerOffReason
from tests.unit.cpu_node.fake_host import FakeHost

ALL = (1 << 64) - 1


def call(host: FakeHost, extension: int, function: int, *arguments: int) -> f.Result:
    """One call with the arguments that matter."""
    return f.call(extension, function, (*arguments, *(0,) * (6 - len(arguments))), host, host)


@pytest.mark.parametrize("function", range(7))
def test_every_base_function_succeeds(function: int) -> None:
    assert call(FakeHost(), f.BASE, function)[0] == f.SUCCESS


def test_the_specification_is_version_2_0() -> None:
    assert call(FakeHost(), f.BASE, 0) == (f.SUCCESS, 0x0200_0000)


def test_a_kernel_can_probe_for_what_is_there() -> None:
    for extension in (f.BASE, f.TIME, f.IPI, f.RFENCE, f.HSM, f.SRST, f.DBCN):
        assert call(FakeHost(), f.BASE, 3, extension) == (f.SUCCESS, 1)
    assert call(FakeHost(), f.BASE, 3, 0x504D55) == (f.SUCCESS, 0)


def test_the_timer_is_armed_the_new_and_the_legacy_way() -> None:
    host = FakeHost()
    assert call(host, f.TIME, 0, 1234) == (f.SUCCESS, 0)
    assert call(host, f.LEGACY_SET_TIMER, 0, 99) == (f.SUCCESS, 0)
    assert host.timers == [1234, 99]


@pytest.mark.parametrize(("mask", "base", "raised"), [(1, 0, 1), (0, ALL, 1), (0, 0, 0)])
def test_an_interrupt_reaches_the_hart_that_is_named(mask: int, base: int, raised: int) -> None:
    host = FakeHost()
    assert call(host, f.IPI, 0, mask, base) == (f.SUCCESS, 0)
    assert host.interrupts == raised


@pytest.mark.parametrize("extension", [f.IPI, f.RFENCE])
@pytest.mark.parametrize(("mask", "base"), [(2, 0), (3, 0), (1, 1)])
def test_a_hart_that_is_not_there_is_an_invalid_parameter(extension: int, mask: int, base: int) -> None:
    host = FakeHost()
    assert call(host, extension, 0, mask, base)[0] == f.ERR_INVALID_PARAM
    assert (host.interrupts, host.flushes) == (0, 0)


@pytest.mark.parametrize("function", range(3))
def test_a_remote_fence_flushes(function: int) -> None:
    host = FakeHost()
    assert call(host, f.RFENCE, function, 1, 0)[0] == f.SUCCESS
    assert host.flushes == 1


def test_fences_of_a_hypervisor_are_not_supported() -> None:
    assert call(FakeHost(), f.RFENCE, 3, 1, 0)[0] == f.ERR_NOT_SUPPORTED


def test_the_only_hart_is_started_and_stays() -> None:
    assert call(FakeHost(), f.HSM, 0, 0)[0] == f.ERR_ALREADY_AVAILABLE
    assert call(FakeHost(), f.HSM, 0, 1)[0] == f.ERR_INVALID_PARAM
    assert call(FakeHost(), f.HSM, 1)[0] == f.ERR_FAILED
    assert call(FakeHost(), f.HSM, 2, 0) == (f.SUCCESS, 0)
    assert call(FakeHost(), f.HSM, 2, 1)[0] == f.ERR_INVALID_PARAM


@pytest.mark.parametrize(
    ("kind", "reason", "end"),
    [
        (0, 0, PowerOffReason.SHUTDOWN),
        (0, 1, PowerOffReason.FAILURE),
        (1, 0, PowerOffReason.REBOOT),
        (2, 0, PowerOffReason.REBOOT),
    ],
)
def test_a_system_reset_says_how_the_run_ended(kind: int, reason: int, end: PowerOffReason) -> None:
    host = FakeHost()
    call(host, f.SRST, 0, kind, reason)
    assert host.ends == [end]


@pytest.mark.parametrize(("kind", "reason"), [(3, 0), (0, 2), (0, 0xDFFF_FFFF)])
def test_a_reset_that_is_not_in_the_specification_does_nothing(kind: int, reason: int) -> None:
    host = FakeHost()
    assert call(host, f.SRST, 0, kind, reason)[0] == f.ERR_INVALID_PARAM
    assert host.ends == []


def test_the_console_takes_bytes_from_memory_and_one_by_one() -> None:
    host = FakeHost(memory={0x8000_1000: b"hello"})
    assert call(host, f.DBCN, 0, 5, 0x8000_1000) == (f.SUCCESS, 5)
    assert call(host, f.DBCN, 2, ord("!"))[0] == f.SUCCESS
    assert call(host, f.LEGACY_PUTCHAR, 0, ord("?"))[0] == f.SUCCESS
    assert bytes(host.console) == b"hello!?"


def test_a_long_console_write_is_taken_in_part() -> None:
    assert call(FakeHost(), f.DBCN, 0, 1 << 20, 0) == (f.SUCCESS, f.MAX_CONSOLE_WRITE)


def test_nothing_can_be_read_from_the_console() -> None:
    assert call(FakeHost(), f.DBCN, 1, 10, 0) == (f.SUCCESS, 0)
    assert call(FakeHost(), f.LEGACY_GETCHAR, 0)[0] == f.ERR_FAILED


@given(st.integers(0, ALL), st.integers(0, ALL), st.lists(st.integers(0, ALL), min_size=6, max_size=6))
def test_no_call_whatever_breaks_the_firmware(extension: int, function: int, arguments: list[int]) -> None:
    for chosen in (extension, *f.EXTENSIONS):
        error, value = f.call(chosen, function, tuple(arguments), (host := FakeHost()), host)
        assert -6 <= error <= 0
        assert 0 <= value <= ALL


def test_an_extension_that_is_not_there_is_not_supported() -> None:
    assert call(FakeHost(), 0x1234_5678, 0) == (f.ERR_NOT_SUPPORTED, 0)
