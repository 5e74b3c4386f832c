"""The interrupt controller against its specification."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cpu_node.arch.riscv64.plic import CLAIM, ENABLE, PENDING, SOURCES, THRESHOLD, Plic, PlicState
from machine import vmstate

IRQS = st.integers(1, SOURCES - 1)


def plic_with(irq: int, priority: int = 1) -> Plic:
    """A controller in which one source is enabled."""
    plic = Plic(PlicState())
    plic.write(4 * irq, priority)
    plic.write(ENABLE, 1 << irq)
    return plic


def test_a_raised_line_interrupts_until_it_is_claimed() -> None:
    plic = plic_with(10)
    assert not plic.asserted()
    plic.set_line(10, True)
    assert plic.asserted()
    assert plic.read(PENDING) == 1 << 10
    assert plic.read(CLAIM) == 10
    assert not plic.asserted()
    assert plic.read(CLAIM) == 0


def test_a_line_that_is_still_high_interrupts_again_after_completion() -> None:
    plic = plic_with(10)
    plic.set_line(10, True)
    plic.read(CLAIM)
    plic.set_line(10, True)
    assert not plic.asserted()
    plic.write(CLAIM, 10)
    assert plic.asserted()


def test_a_line_that_went_low_in_between_does_not() -> None:
    plic = plic_with(10)
    plic.set_line(10, True)
    plic.read(CLAIM)
    plic.set_line(10, False)
    plic.write(CLAIM, 10)
    assert not plic.asserted()


def test_the_highest_priority_goes_first_and_of_equal_ones_the_lowest_number() -> None:
    plic = Plic(PlicState())
    plic.write(ENABLE, 0xFFFF_FFFF)
    for irq, priority in ((3, 1), (7, 5), (9, 5)):
        plic.write(4 * irq, priority)
        plic.set_line(irq, True)
    assert [plic.read(CLAIM) for _ in range(4)] == [7, 9, 3, 0]


def test_a_source_at_or_below_the_threshold_or_of_priority_zero_does_not_interrupt() -> None:
    plic = plic_with(4, priority=3)
    plic.set_line(4, True)
    plic.write(THRESHOLD, 3)
    assert not plic.asserted()
    plic.write(THRESHOLD, 2)
    assert plic.asserted()
    plic.write(THRESHOLD, 0)
    plic.write(4 * 4, 0)
    assert not plic.asserted()


def test_completing_a_source_that_is_not_enabled_is_ignored() -> None:
    plic = plic_with(5)
    plic.set_line(5, True)
    plic.read(CLAIM)
    plic.write(ENABLE, 0)
    plic.write(CLAIM, 5)
    assert plic.state.claimed == 1 << 5


def test_there_is_no_source_zero() -> None:
    plic = Plic(PlicState())
    plic.write(0, 7)
    plic.write(ENABLE, 1)
    assert plic.read(0) == 0
    assert plic.read(ENABLE) == 0


class AnyGuest(RuleBasedStateMachine):
    """A guest that does anything at all."""

    def __init__(self) -> None:
        super().__init__()
        self.plic = Plic(PlicState())

    @rule(irq=IRQS, level=st.booleans())
    def line(self, irq: int, level: bool) -> None:
        """A device."""
        self.plic.set_line(irq, level)

    @rule(
        offset=st.one_of(st.integers(0, 0x3FF_FFFF), st.sampled_from([0, 40, ENABLE, THRESHOLD, CLAIM])).map(
            lambda o: o & ~3
        ),
        value=st.integers(0, 2**32 - 1),
    )
    def write(self, offset: int, value: int) -> None:
        """A store."""
        self.plic.write(offset, value)

    @rule(offset=st.integers(0, 0x3FF_FFFF).map(lambda o: o & ~3))
    def read(self, offset: int) -> None:
        """A load."""
        assert 0 <= self.plic.read(offset) < 1 << 32

    @precondition(lambda self: self.plic.asserted())
    @rule()
    def claim_and_complete(self) -> None:
        """An interrupt handler."""
        irq = self.plic.read(CLAIM)
        assert self.plic.state.levels >> irq & 1, "claimed for a line that is low"
        self.plic.write(CLAIM, irq)

    @invariant()
    def nothing_is_pending_and_claimed_at_once(self) -> None:
        """A gateway has one request at a time."""
        assert not self.plic.state.pending & self.plic.state.claimed

    @invariant()
    def a_request_has_its_level(self) -> None:
        """No interrupt for a line that is low."""
        assert not self.plic.state.pending & ~self.plic.state.levels

    @invariant()
    def its_state_comes_back(self) -> None:
        """From its canonical bytes."""
        assert vmstate.decode(PlicState, vmstate.encode(self.plic.state)) == self.plic.state


TestAnyGuest = AnyGuest.TestCase
