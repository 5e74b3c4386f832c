"""Unicorn's engine as Python has it: registers by number, memory that stays the caller's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicorn import riscv_const

from cpu_node import _engine
from cpu_node.arch import ARCHES
from cpu_node.memory import GuestMemory
from machine.board import RAM_BASE

CORE = _engine.Core("riscv64", 1 << 20)


@given(st.integers(riscv_const.UC_RISCV_REG_X1, riscv_const.UC_RISCV_REG_X31), st.integers(0, (1 << 64) - 1))
def test_a_general_register_holds_64_bits(number: int, value: int) -> None:
    CORE.reg_write(number, value)
    assert CORE.reg_read(number) == value


def test_registers_have_the_numbers_of_unicorn() -> None:
    names = [name for name in dir(_engine) if name.startswith("UC_RISCV_REG_")]
    assert len(names) == 25
    for name in names:
        assert getattr(_engine, name) == getattr(riscv_const, name)


def test_no_instruction_is_at_an_odd_address() -> None:
    assert ARCHES["riscv64"].debugging.put(CORE, "pc", (1 << 64) - 1)
    assert CORE.reg_read(riscv_const.UC_RISCV_REG_PC) == (1 << 64) - 2


def test_an_architecture_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no engine for architecture vax"):
        _engine.Core("vax", 1 << 20)


def test_memory_where_memory_is_already_is_refused() -> None:
    core, memory = _engine.Core("riscv64", 1 << 20), GuestMemory(1 << 20)
    core.map_memory(RAM_BASE, memory.size, memory.host_address)
    with pytest.raises(RuntimeError, match="the engine refuses"):
        core.map_memory(RAM_BASE, memory.size, memory.host_address)
