"""Breakpoints, watchpoints, steps and looks of a debugger: each stop exact, and the run as if nobody had looked."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from cpu_node._engine import HIT_READ, HIT_WRITE
from cpu_node.arch import ARCHES
from cpu_node.debugger import Debugger, Order, Standing, Stop, Why
from machine.clock import VirtualClock
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu
from tests.unit.cpu_node.assembled import (
    A0,
    A1,
    OFF,
    T1,
    T2,
    T3,
    T4,
    T6,
    add,
    atomic,
    bnez,
    leaf,
    li,
    lui,
    paged,
    sd,
    shift,
    table,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA = 0x8021_0000
FAR = 0x8120_0000
BOTH = HIT_READ | HIT_WRITE
LOAD = 0x03 | T4 << 7 | 3 << 12 | A0 << 15
"""ld t4, (a0)."""
ROUNDS = 200


def mapped() -> bytes:
    """20 times ld, addi, sd, amoadd.d at FAR through a mapping that is not the code's, in Sv39.

    Their virtual pages differ in bit 12 at the lowest, so they share an entry of any TLB of up to 4,096.
    """
    table = [lui(A0, 0x40200), shift(1, A0, A0, 1)]  # 0x80400000; lui alone extends the sign
    leaf = [lui(T1, 0x20000), add(T1, 0xCF), sd(T1, A0, 16), sd(T1, A0, 24)]  # 1 GiB at 2 and at 3 is 0x80000000
    satp = [li(T2, 8), shift(1, T2, T2, 60), shift(5, T3, A0, 12), 0x33 | T2 << 7 | 6 << 12 | T2 << 15 | T3 << 20]
    head = [*table, *leaf, *satp, 0x73 | 1 << 12 | T2 << 15 | 0x180 << 20, 0x1200_0073, li(T6, 20)]
    head += [lui(A0, 0x60900), shift(1, A0, A0, 1)]  # 0xC1200000
    body = [LOAD, add(T4, 1), sd(T4, A0), atomic(0, 3, T4, A0, T4), add(T6, -1)]
    words = [*head, *body, bnez(T6, len(body)), *OFF]
    return struct.pack(f"<{len(words)}I", *words)


def returning(*, faulting: bool) -> bytes:
    """A load at FAR in a block behind which the code that it is in cannot be fetched any more, for the mode is another.

    It is the supervisor's in front of its sret; or, if `faulting`, the user's, who then jumps to where nothing is.
    """
    load, csrw = 0x03 | T4 << 7 | 3 << 12, 0x73 | 1 << 12 | T2 << 15
    words = [lui(A0, 0x40200), shift(1, A0, A0, 1), lui(T1, 0x20000), add(T1, 0xCF), sd(T1, A0, 16)]
    words += [add(T1, 0x10), sd(T1, A0, 24)]  # 1 GiB at 3 is 0x80000000 too, and the user's
    words += [li(T2, 8), shift(1, T2, T2, 60), shift(5, T3, A0, 12), 0x33 | T2 << 7 | 6 << 12 | T2 << 15 | T3 << 20]
    words += [csrw | 0x180 << 20, 0x1200_0073]
    words += [lui(A0, 0x40900), shift(1, A0, A0, 1), lui(A1, 0x60900), shift(1, A1, A1, 1)]  # FAR for each
    user, handler = 11, 14  # so many words behind this one, which says where it is
    words += [0x17 | T1 << 7, 0x13 | T2 << 7 | T1 << 15 | 4 * handler << 20, csrw | 0x105 << 20]  # stvec
    words += [li(T3, 1), shift(1, T3, T3, 30), 0x33 | T2 << 7 | T1 << 15 | T3 << 20, add(T2, 4 * user)]
    words += [csrw | 0x141 << 20, li(T4, 0), li(T4, 0) if faulting else load | A0 << 15, 0x1020_0073]  # sepc; sret
    words += [li(T4, 0), *([load | A1 << 15, 0x67] if faulting else [li(T4, 0), 0x73])]
    words += OFF
    return struct.pack(f"<{len(words)}I", *words)


def reserving() -> bytes:
    """200 rounds of lr.w, addi, sc.w on one word and an amoadd.d on another.

    t3 adds up what they leave in their registers, where something else has been before, and is stored.
    """
    head = [0x17 | A0 << 7 | 0x10 << 12, 0x13 | A1 << 7 | A0 << 15 | 64 << 20, li(T6, ROUNDS), li(T3, 0)]
    body = [
        atomic(2, 2, T1, A0),
        0x13 | T1 << 7 | T1 << 15 | 1 << 20,
        li(T2, 7),
        atomic(3, 2, T2, A0, T1),
        0x33 | T3 << 7 | T3 << 15 | T2 << 20,
        li(T4, 3),
        atomic(0, 3, T4, A1, T4),
        0x33 | T3 << 7 | T3 << 15 | T4 << 20,
        0x13 | T6 << 7 | T6 << 15 | 0xFFF << 20,
    ]
    store = 0x23 | 2 << 12 | A0 << 15 | T3 << 20 | 8 << 7
    words = [*head, *body, bnez(T6, len(body)), store, *OFF]
    return struct.pack(f"<{len(words)}I", *words)


def crossing(behind: int, access: int) -> bytes:
    """One access to 8 bytes, 4 of them in the page at FAR and 4 in the page at `behind`, through Sv39."""
    head = [lui(A0, 0x60000), shift(1, A0, A0, 1), lui(T1, 1), 0x33 | A0 << 7 | A0 << 15 | T1 << 20, add(A0, -4)]
    rows = {(0, 2): leaf(0x8000_0000), (0, 3): table(1), (1, 0): table(2), (2, 0): leaf(FAR), (2, 1): leaf(behind)}
    return paged([*head, li(T4, 0x123), access, *OFF], rows)  # 0xC0000FFC


class Looker(Debugger):
    """Looks at everything at each stop, and goes on as a function says."""

    def __init__(self, lonely: LonelyCpu, following: Callable[[Stop], Order]) -> None:
        memory = lonely.memory
        standing = Standing(ARCHES["riscv64"], lonely.cpu, memory, VirtualClock())
        super().__init__(standing, lonely.cpu)
        self._following = following
        self.interrupted = True
        self.stops: list[Stop] = []

    def attend(self) -> None:
        """Nobody says anything."""

    def stand(self, stop: Stop) -> Order:
        """See Debugger."""
        self.stops.append(stop)
        registers = self.standing.registers()
        assert registers["pc"] == stop.pc
        assert registers["instret"] == stop.icount
        return self._following(stop)


def run(
    kernel: Path, following: Callable[[Stop], Order] | None = None, points: tuple[Any, ...] | None = None
) -> tuple[tuple[Any, ...], Looker]:
    """A guest's run: what tells it from others; and who has looked."""
    lonely = LonelyCpu(kernel)
    looker = Looker(lonely, following or (lambda _: Order()))
    if following is not None:
        lonely.loop.debugger = looker
    if points is not None:
        breaks, watches, *exact = points
        looker.standing.set_points(breaks, watches, exact=not exact or exact[0])
    said = lonely.run()
    return (said, lonely.cpu.native.icount, lonely.memory.digest()), looker


@pytest.fixture
def atomics(tmp_path: Path) -> Path:
    """The image of a program whose reservations anything disturbs."""
    kernel = tmp_path / "atomics.bin"
    kernel.write_bytes(reserving())
    return kernel


def test_each_instruction_is_stepped_through_and_looked_at_without_a_trace(atomics: Path) -> None:
    plain, _ = run(atomics)
    stepped, looker = run(atomics, lambda _: Order(step=True))
    assert stepped == plain
    steps = [stop.icount for stop in looker.stops]
    assert steps[:1400] == list(range(1400))


@pytest.mark.parametrize("kinds", [HIT_READ, HIT_WRITE, BOTH])
def test_a_watched_atomic_does_what_it_does_once(atomics: Path, kinds: int) -> None:
    plain, _ = run(atomics)
    watched, looker = run(atomics, lambda _: Order(), ((), [(DATA, DATA + 0x7F, kinds)]))
    assert watched == plain
    assert len(looker.stops) > 2 * ROUNDS


@pytest.mark.parametrize("noting", [False, True])
@pytest.mark.parametrize("kinds", [HIT_READ, HIT_WRITE, BOTH])
def test_an_access_reaches_its_own_page_though_it_is_watched(tmp_path: Path, kinds: int, *, noting: bool) -> None:
    kernel = tmp_path / "mapped.bin"
    kernel.write_bytes(mapped())
    plain, _ = run(kernel)
    watched, looker = run(kernel, lambda _: Order(noting=noting), ((), [(FAR, FAR + 7, kinds)], not noting))
    assert watched == plain
    stops = [stop for stop in looker.stops if stop.why is Why.WATCH]
    assert len(stops) == (0 if noting else 60 if kinds == BOTH else 40)
    hit = (looker.where(Why.END) if noting else stops[-1]).hit
    assert hit is not None
    # The last amoadd.d is 8 instructions in front of the end.  It reads, where a debugger stops, then it writes.
    kind = kinds if kinds != BOTH else HIT_WRITE if noting else HIT_READ
    assert (hit.icount, hit.kind) == (plain[1] - 8, kind)


@pytest.mark.parametrize("noting", [False, True])
@pytest.mark.parametrize(("access", "kind"), [(LOAD, HIT_READ), (sd(T4, A0), HIT_WRITE)])
@pytest.mark.parametrize(
    ("behind", "watched", "met"),
    [
        (0x8300_0000, FAR + 0xFFF, (FAR + 0xFFC, 4)),
        (0x8300_0000, FAR + 0x1000, None),  # the page behind the first, which is not the second
        (FAR + 0x1000, FAR + 0x1003, (FAR + 0x1000, 4)),
        (FAR + 0x1000, FAR + 0x1004, None),
    ],
)
def test_an_access_to_two_pages_is_met_where_it_reaches(
    tmp_path: Path, behind: int, watched: int, met: tuple[int, int] | None, access: int, kind: int, *, noting: bool
) -> None:
    kernel = tmp_path / "crossing.bin"
    kernel.write_bytes(crossing(behind, access))
    plain, _ = run(kernel)
    looked, looker = run(kernel, lambda _: Order(noting=noting), ((), [(watched, watched, BOTH)], not noting))
    assert looked == plain
    hits = [looker.where(Why.END).hit] if noting else [stop.hit for stop in looker.stops if stop.why is Why.WATCH]
    found = [(hit.kind, hit.icount, hit.address, hit.size) for hit in hits if hit is not None]
    # In front of what switches the machine off.
    assert found == ([] if met is None else [(kind, plain[1] - len(OFF), *met)])


@pytest.mark.parametrize("faulting", [False, True])
def test_what_is_noted_in_front_of_another_mode_is_counted_in_its_own(tmp_path: Path, *, faulting: bool) -> None:
    kernel = tmp_path / "returning.bin"
    kernel.write_bytes(returning(faulting=faulting))
    plain, _ = run(kernel)
    points = (), [(FAR, FAR + 7, HIT_READ)]
    stopped, looker = run(kernel, lambda _: Order(), points)
    noted, noter = run(kernel, lambda _: Order(noting=True), (*points, False))
    assert plain == stopped == noted
    (hit,) = [stop.hit for stop in looker.stops if stop.why is Why.WATCH]
    assert noter.where(Why.END).hit == hit


@pytest.mark.parametrize("name", ["traps", "selfmod", "midfault"])
def test_a_machine_stands_right_behind_each_access(name: str) -> None:
    plain, _ = run(guest(name))
    left = 3000

    def following(stop: Stop) -> Order:
        nonlocal left
        left -= 1
        if stop.why is Why.WATCH:
            assert stop.hit is not None
            assert stop.icount == stop.hit.icount + 1
            assert stop.pc - stop.hit.pc in (2, 4)
        if not left:
            looker.standing.set_points((), ())
        return Order()

    lonely = LonelyCpu(guest(name))
    looker = Looker(lonely, following)
    lonely.loop.debugger = looker
    looker.standing.set_points((), [(DATA, DATA + 0x1F_FFFF, BOTH)])
    said = lonely.run()
    assert (said, lonely.cpu.native.icount, lonely.memory.digest()) == plain
    assert left <= 0


@pytest.mark.parametrize("name", ["traps", "midfault"])
def test_every_breakpoint_is_met_in_front_of_its_instruction(name: str) -> None:
    plain, _ = run(guest(name))
    addresses = tuple(0x8020_0000 + 2 * n for n in range(512))
    left = 3000

    def following(stop: Stop) -> Order:
        nonlocal left
        left -= 1
        assert stop.why in (Why.BREAK, Why.INTERRUPT)
        assert stop.why is Why.INTERRUPT or stop.pc in addresses
        if not left:
            looker.standing.set_points((), ())
        return Order()

    lonely = LonelyCpu(guest(name))
    looker = Looker(lonely, following)
    lonely.loop.debugger = looker
    looker.standing.set_points(addresses, ())
    said = lonely.run()
    assert (said, lonely.cpu.native.icount, lonely.memory.digest()) == plain
    places = [(stop.icount, stop.pc) for stop in looker.stops]
    assert len(set(places[1:])) == len(places) - 1


def test_what_is_noted_is_the_last_and_stops_nothing(atomics: Path) -> None:
    plain, _ = run(atomics)
    points = ((0x8020_0014,), [(DATA, DATA + 3, HIT_WRITE)])
    orders = iter((Order(until=1000, noting=True),))
    noted, looker = run(atomics, lambda _: next(orders, Order(until=1 << 40, noting=True)), points)
    assert noted == plain
    hit = looker.stops[1].hit
    assert hit is not None
    assert looker.stops[1].icount == 1000
    assert 990 <= hit.icount < 1000
