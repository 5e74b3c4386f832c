"""A device's journal where the file system is full: no signal, no half-truth, and whole again when there is room."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from devices.backends import create_backend
from devices.backends.char.null import NullBackend
from devices.continued_gate import Past
from devices.journal import INPUTS_AT, INPUTS_BYTES, PAGE, STEP, Journal, Kept
from devices.past_gate import PastGate
from machine.errors import MachineError
from machine.message import HostEvent, HostInput, Present
from tests.harness.net_namespace import run_alone
from tests.harness.small_disk import APART, SmallDisk, small_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEGINNING: Final = INPUTS_AT + 3 * STEP
"""What a journal takes from its first moment on."""
BIG: Final = 3 * STEP


def typed(number: int, size: int = 1000) -> HostInput:
    """An input that is like no other."""
    return HostInput(HostEvent.DATA, number.to_bytes(4, "little") * (size // 4), number)


def type_until_full(journal: Journal) -> int:
    """The number of the first for which there is no room."""
    number = 0
    while not journal.gap:
        number += 1
        journal.submit(number, typed(number))
    return number


def no_room_from_the_start() -> None:
    """Less than it takes."""
    with (
        small_disk(BEGINNING - PAGE) as (directory, _),
        pytest.raises(MachineError, match=r"journal-dev0: cannot keep a journal: No space left on device"),
    ):
        Journal(directory / "journal-dev0", new=True)


def what_is_typed() -> None:
    """Input fills the ring, and there is room again."""
    with small_disk(BEGINNING + 3 * STEP) as (directory, disk):
        journal = Journal(directory / "j", new=True)
        disk.fill(but=STEP)
        number = type_until_full(journal)
        assert journal.missed == journal.last_input == number
        assert number * 1000 > STEP
        # Behind one that is missing nobody can tell what came in between.
        journal.submit(number + 1, typed(number + 1, 4))
        assert journal.submitted_after(0) in ([], [(number + 1, typed(number + 1, 4))])
        with pytest.raises(MachineError, match=r"/j: there was no room for what a process that takes over must know"):
            Journal.left(directory / "j")
        # A state alone does not mend it while there is no room for what was lacking.
        journal.keep(Kept(5, b"state"))
        assert journal.gap
        disk.clear()
        journal.keep(Kept(9, b"later", inputs=number + 1))
        journal.submit(number + 2, typed(number + 2))
        after = Journal.left(directory / "j")
        assert after.kept() == Kept(9, b"later", inputs=number + 1)
        assert after.submitted_after(number + 1) == [(number + 2, typed(number + 2))]


def what_is_read_and_kept() -> None:
    """Reads of memory, then a state, for which there is no room."""
    with small_disk(BEGINNING + 16 * STEP) as (directory, disk):
        journal = Journal(directory / "j", new=True)
        disk.fill()
        journal.keep(Kept(3, b"small"))
        journal.read_made(64, b"few")
        Journal.left(directory / "j").forget()
        journal.read_made(128, bytes(BIG))
        assert journal.gap
        journal.read_made(192, b"few")
        disk.clear()
        journal.keep(Kept(4, b"whole"))
        disk.fill()
        journal.keep(Kept(5, bytes(2 * BIG)))
        assert journal.gap
        assert Journal(directory / "j", new=False).kept() == Kept(4, b"whole")
        disk.clear()
        journal.keep(Kept(6, bytes(2 * BIG)))
        assert Journal.left(directory / "j").kept() == Kept(6, bytes(2 * BIG))


def whatever_comes() -> None:
    """A journal that claims to be whole tells everything, however often the file system was full."""
    gaps = sum(_random_life(random.Random(seed)) for seed in range(12))
    assert gaps > 0


def _random_life(chance: random.Random) -> int:
    """How often the journal had a gap."""
    with small_disk(2 * INPUTS_BYTES) as (directory, disk):
        journal = Journal(directory / "j", new=True)
        kept, reads, said, gaps, full = Kept(), dict[int, bytes](), dict[int, HostInput](), 0, False
        for seq in range(1, 120):
            full = _change(disk, chance, full=full)
            match chance.randrange(4):
                case 0:
                    kept = Kept(seq, chance.randbytes(chance.randrange(2 * STEP)), b"backend", len(said))
                    journal.keep(kept)
                    reads.clear()
                case 1:
                    reads[seq] = chance.randbytes(chance.randrange(STEP))
                    journal.read_made(seq, reads[seq])
                case _:
                    number = len(said) + 1
                    said[number] = typed(number, chance.randrange(STEP))
                    journal.submit(number, said[number])
            gaps += journal.gap
            _compare(directory / "j", kept, reads, said)
    return gaps


def _change(disk: SmallDisk, chance: random.Random, *, full: bool) -> bool:
    if chance.random() > 0.1:
        return full
    if full:
        disk.clear()
    else:
        disk.fill(but=chance.randrange(STEP))
    return not full


def _compare(path: Path, kept: Kept, reads: dict[int, bytes], said: dict[int, HostInput]) -> None:
    found = Journal(path, new=False)
    number = len(said)
    after = dict(found.submitted_after(0))
    assert found.last_input == number
    assert list(after) == list(range(number - len(after) + 1, number + 1))
    assert all(said[each] == message for each, message in after.items())
    if not found.gap:
        assert found.kept() == kept
        assert all(each in after for each in range(kept.inputs + 1, number + 1))
        assert all(found.read_again(each, len(data), "dev0", 0) == data for each, data in reads.items())
        assert found.read_again(0, 1, "dev0", 0) is None
    found.forget()


def who_takes_over() -> None:
    """Behind a death, and behind a broker's: what is nowhere is said to be."""
    with small_disk(2 * BEGINNING + 2 * STEP) as (directory, disk):
        path = directory / "j"
        journal = Journal(path, new=True)
        disk.fill()
        number = type_until_full(journal)
        disk.clear()
        journal.keep(Kept(2, b"", inputs=number))
        backend = NullBackend("dev0")
        gate = PastGate(cast("Any", None), backend, Journal.left(path), lambda _: backend)
        with pytest.raises(MachineError, match=r"/j: there was no room for input that the broker has not had"):
            gate.present(Present(inputs=number - 1))
        past = Past(0, lambda: iter(()))
        with pytest.raises(MachineError, match=r"/j: there was no room for input that the log does not have either"):
            past.journal(path, backend)
        assert past.journal(path, create_backend("usb", "none", "usb0")).submitted_after(0) == []


@pytest.mark.parametrize(
    "claim", [no_room_from_the_start, what_is_typed, what_is_read_and_kept, whatever_comes, who_takes_over]
)
def test_a_full_file_system_is_no_signal_and_never_half_a_journal(claim: Callable[[], None]) -> None:
    run_alone(claim, APART)
