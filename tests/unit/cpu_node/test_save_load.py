"""A CPU that is saved and loaded elsewhere goes on as the one that was not."""

from __future__ import annotations

import os
import random
from array import array
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpu_node import state as states
from cpu_node.arch import ARCHES
from cpu_node.state import NodeState
from machine import vmstate
from machine.errors import StateError
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu, LonelyLink

if TYPE_CHECKING:
    from machine.message import Saved

GUESTS = [
    "timer",
    "traps",
    "counters",
    "midfault",
    "selfmod",
    "aspaces",
    "pagecross",
    "compute",
    "reserve",
    "doze",
    "topmost",
    "nap",
    "inexact",
]


class SavingLink(LonelyLink):
    """A broker that asks for the state again and again, and keeps what it is told of all memory up to there."""

    def __init__(self, every: int, most: int = 10) -> None:
        super().__init__()
        self.every = every
        self.most = most
        self.saved_states: list[tuple[int, Saved, bytes, bytes]] = []
        self._memory = bytearray()

    def look(self) -> bool:
        """Ask for the state when the guest has gone on far enough."""
        assert self.machine is not None
        last = self.saved_states[-1][0] if self.saved_states else 0
        at = self.machine.cpu.native.icount
        self.save_wanted = len(self.saved_states) < self.most and at >= last + self.every
        return False

    def saved(self, saved: Saved, icount: int) -> None:
        """Put the copy's parts where they belong."""
        self.save_wanted = False
        with open(saved.staging, "rb") as staging:  # a descriptor of this process
            size = os.fstat(staging.fileno()).st_size
            if saved.whole:
                self._memory = bytearray(size)
            for number in array("I", saved.granules):
                start = number * saved.granule
                staging.seek(start)
                part = staging.read(min(saved.granule, size - start))
                self._memory[start : start + len(part)] = part
        self.saved_states.append((icount, saved, bytes(self._memory), self.said))

    machine: LonelyCpu | None = None


def ended(machine: LonelyCpu) -> tuple[str, tuple[int, ...], int, bytes]:
    """All that is left of a machine that has run to its end."""
    said = machine.run()
    return said, machine.cpu.platform.registers(), machine.cpu.native.icount, machine.memory.digest()


@pytest.mark.parametrize("name", GUESTS)
def test_saving_disturbs_nothing_and_every_state_goes_on_the_same(name: str) -> None:
    expected = ended(LonelyCpu(guest(name)))
    link = SavingLink(every=max(1, expected[2] // 300))
    machine = link.machine = LonelyCpu(guest(name), link)
    assert ended(machine) == expected
    assert link.saved_states
    for icount, saved, memory, said in link.saved_states[:: max(1, len(link.saved_states) // 3)]:
        again = LonelyCpu(guest(name))
        again.link.said = said
        again.load(saved.state, memory)
        assert again.cpu.native.icount == icount
        assert vmstate.encode(again.save()) == saved.state
        assert ended(again) == expected


def test_the_block_that_a_loaded_machine_begins_with_is_decoded_once() -> None:
    link = SavingLink(every=ended(LonelyCpu(guest("compute")))[2] // 8, most=8)
    machine = link.machine = LonelyCpu(guest("compute"), link)
    machine.run()
    for _, saved, memory, said in link.saved_states:
        again = LonelyCpu(guest("compute"))
        again.link.said = said
        again.load(saved.state, memory)
        again.run()
        assert again.cpu.native.n_decoded <= 1


def test_a_state_is_loaded_over_another_one() -> None:
    expected = ended(LonelyCpu(guest("timer")))
    link = SavingLink(every=expected[2] // 10)
    machine = link.machine = LonelyCpu(guest("timer"), link)
    machine.run()
    for _, saved, memory, said in reversed(link.saved_states):
        machine.link.said = said
        link.most = 0
        machine.load(saved.state, memory)
        assert ended(machine) == expected


@cache
def standing(number: int) -> LonelyCpu:
    """One of two machines in front of their first instruction."""
    assert number in (0, 1)
    return LonelyCpu(guest("nap"))


@given(st.integers(0))
@settings(max_examples=100, deadline=None)
def test_every_register_is_in_a_state_whatever_it_holds(seed: int) -> None:
    draw = random.Random(seed)
    one, other = standing(0), standing(1)
    debugging = ARCHES["riscv64"].debugging
    registers = [row for _, rows in debugging.features for row in rows]
    # The privilege last: from another than the machine's the others cannot be written.
    for name, bits, _ in sorted(registers, key=lambda row: row[0] == "priv"):
        debugging.put(one.cpu.core, name, draw.choice([0, 1, 3]) if name == "priv" else draw.getrandbits(bits))
    expected = one.cpu.platform.registers()
    state = one.save()
    assert one.cpu.platform.registers() == expected
    states.load(other.cpu, other.bus, state)
    assert other.cpu.platform.registers() == expected


def test_a_reset_leaves_exceptions_raised_as_in_recordings_of_before() -> None:
    machine = LonelyCpu(guest("nap"))
    arch = ARCHES["riscv64"]
    assert arch.debugging.put(machine.cpu.core, "fcsr", 0xFF)
    machine.reset()
    assert dict(zip(arch.inspect.names, machine.cpu.platform.registers(), strict=True))["fcsr"] == 0x1F


def test_a_state_of_another_machine_is_refused() -> None:
    machine = LonelyCpu(guest("timer"))
    state = machine.save()
    state.windows = state.windows[1:]
    with pytest.raises(StateError, match="register windows, this machine"):
        states.load(machine.cpu, machine.bus, state)
    good = machine.save()
    good.engine = good.engine[1:]
    with pytest.raises(StateError, match="saved state of the CPU: the engine's state has"):
        states.load(machine.cpu, machine.bus, good)
    other = machine.save()
    other.float_flags = 0x20
    with pytest.raises(StateError, match="saved state of the CPU: 0x20 are no floating-point exceptions"):
        states.load(machine.cpu, machine.bus, other)
    with pytest.raises(StateError):
        vmstate.decode(NodeState, vmstate.encode(machine.save())[:-1])
