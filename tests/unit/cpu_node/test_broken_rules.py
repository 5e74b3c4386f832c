"""Guests that do what no guest should: the process that runs them goes on, and devices hear of none of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from cpu_node.arch.riscv64.platform import TIMEBASE_NS
from cpu_node.loop import DIGEST_EVERY
from machine.clock import LONGEST_NS
from machine.message import AccessKind, Digest, Message, MmioAccess, Sync
from tests.harness.lonely_cpu import LonelyCpu, LonelyLink, Over
from tests.unit.cpu_node.assembled import A0, A1, A6, A7, OFF, T1, T4, add, leaf, li, lui, paged, pointer, shift, table

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(30)

SERIAL, FAR, HIGH = 0x1000_0000, 0x8120_0000, 0xC000_0000
LSR = 5
EXECUTE = 1 << 3
"""Of a page table's entry."""
CALL_A1, WFI = 0x67 | 1 << 7 | A1 << 15, 0x1050_0073


class Hearing(LonelyLink):
    """Keeps which registers were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def send(self, message: Message, target: int, icount: int) -> None:
        """See LonelyLink."""
        if isinstance(message, MmioAccess):
            self.read += [access.offset for access in message.accesses if access.kind is AccessKind.READ]
        super().send(message, target, icount)


class Digested(LonelyLink):
    """It is over at the first digest."""

    def send(self, message: Message, target: int, icount: int) -> None:
        """See LonelyLink."""
        if isinstance(message, Digest):
            raise Over
        super().send(message, target, icount)


class Asleep(LonelyLink):
    """It is over where the guest sleeps."""

    timer_ns: int | None = 0

    def send(self, message: Message, target: int, icount: int) -> None:
        """See LonelyLink."""
        if isinstance(message, Sync) and message.idle:
            self.timer_ns = message.timer_ns
            raise Over
        super().send(message, target, icount)


def write(at: int, word: tuple[int, int]) -> list[int]:
    """Store an instruction, given as lui and addi make it, at an offset from a0."""
    return [lui(T1, word[0]), add(T1, word[1]), 0x23 | at << 7 | 2 << 12 | A0 << 15 | T1 << 20]


def test_code_that_is_written_over_without_fence_i_does_not_hold_the_process(tmp_path: Path) -> None:
    rdcycle, ret, forever = (0xC0003, -0x10D), (8, 0x67), (0, 0x6F)
    words = [lui(A1, HIGH >> 13), shift(1, A1, A1, 1), lui(T1, 1), 0x33 | A0 << 7 | A1 << 15 | T1 << 20]
    words += [*write(0, rdcycle), *write(4, ret), CALL_A1, *write(0, forever), CALL_A1]
    # The engine does not notice what is stored through an address that has no right to be executed.
    rows = {
        (0, 2): leaf(0x8000_0000),
        (0, 3): table(1),
        (1, 0): table(2),
        (2, 0): leaf(FAR),
        (2, 1): leaf(FAR) & ~EXECUTE,
    }
    kernel = tmp_path / "rewritten.bin"
    kernel.write_bytes(paged(words, rows))
    lonely = LonelyCpu(kernel, Digested())
    lonely.run()
    assert (lonely.cpu.native.icount, lonely.cpu.native.pc) == (DIGEST_EVERY, HIGH)


@pytest.mark.parametrize(("bit", "rings"), [(55, True), (56, False), (57, False), (63, False)])
def test_a_timer_that_is_further_away_than_virtual_time_goes_never_rings(
    tmp_path: Path, bit: int, *, rings: bool
) -> None:
    set_timer = [lui(A7, 0x54495), add(A7, -0x2BB), li(A6, 0), li(A0, 1), shift(1, A0, A0, bit), 0x73]
    kernel, link = tmp_path / "asleep.bin", Asleep()
    kernel.write_bytes(struct.pack("<7I", *set_timer, WFI))
    LonelyCpu(kernel, link).run()
    assert (link.timer_ns is not None) == rings
    assert rings == ((1 << bit) * TIMEBASE_NS <= LONGEST_NS)


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_a_page_table_in_a_devices_registers_is_not_read_there(tmp_path: Path, reads: int) -> None:
    words = [0x17 | T1 << 7, add(T1, 4 * (8 + reads)), 0x73 | 1 << 12 | T1 << 15 | 0x105 << 20]  # stvec: OFF
    words += [lui(A1, SERIAL >> 12), lui(A0, HIGH >> 13), shift(1, A0, A0, 1)]
    words += [0x03 | T4 << 7 | 4 << 12 | A1 << 15 | LSR << 20] * reads
    words += [0x03 | T4 << 7 | 3 << 12 | A0 << 15, li(T4, 0), *OFF]
    rows = {(0, 0): leaf(0), (0, 2): leaf(0x8000_0000), (0, 3): table(1), (1, 0): pointer(SERIAL)}
    kernel = tmp_path / "walked.bin"
    kernel.write_bytes(paged(words, rows))
    link = Hearing()
    LonelyCpu(kernel, link).run()
    assert link.read == [LSR] * reads
