"""Coverage by symbol: a table, and lcov's tracefile (geninfo(1), FILES).

An image without source has no lines.  In the tracefile line N of a symbol's image is the halfword at its first symbol's
address + 2 (N - 1): the smallest instruction.  What is not executed is listed for symbols that were entered.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HALFWORD: Final = 2


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named stretch of code and the parts of it that were executed, as (first address, address behind the last)."""

    name: str
    start: int
    end: int
    executed: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Halfwords of code."""
        return (self.end - self.start) // HALFWORD

    @property
    def hit(self) -> int:
        """Halfwords that were executed."""
        return sum(end - start for start, end in self.executed) // HALFWORD


def by_symbol(stretches: Sequence[Sequence[int]], symbols: Sequence[tuple[int, str, int]]) -> list[Symbol]:
    """The executed stretches, sorted and apart, laid over symbols by address.

    `symbols`: first address, name, bytes.  One without a size ends where the next begins, the last one with what was
    executed last.
    """
    starts = [address for address, _, _ in symbols]
    pieces: dict[int, list[tuple[int, int]]] = {}
    for begin, end in stretches:
        at, index = begin, bisect_right(starts, begin) - 1
        while at < end:
            limit = min(end, starts[index + 1]) if index + 1 < len(starts) else end
            if index >= 0:
                address, _, size = symbols[index]
                inside = min(limit, address + size) if size else limit
                if at < inside:
                    pieces.setdefault(index, []).append((at, inside))
            at, index = limit, index + 1
    found = []
    for index, (address, name, size) in enumerate(symbols):
        executed = tuple(pieces.get(index, ()))
        limits = [address + size] if size else []
        limits += starts[index + 1 : index + 2]
        last = executed[-1][1] if executed else address
        found.append(Symbol(name, address, min(limits, default=last), executed))
    return found


def tracefile(image: str, found: Sequence[Symbol]) -> Iterator[str]:
    """The lines of lcov's tracefile."""
    base = found[0].start if found else 0
    yield "TN:"
    yield f"SF:{image}"
    for symbol in found:
        yield f"FN:{_line(symbol.start, base)},{symbol.name}"
    for symbol in found:
        yield f"FNDA:{1 if symbol.executed else 0},{symbol.name}"
    entered = [symbol for symbol in found if symbol.executed]
    yield f"FNF:{len(found)}"
    yield f"FNH:{len(entered)}"
    for symbol in entered:
        for address in range(symbol.start, symbol.end, HALFWORD):
            hit = any(start <= address < end for start, end in symbol.executed)
            yield f"DA:{_line(address, base)},{int(hit)}"
    yield f"LF:{sum(symbol.size for symbol in entered)}"
    yield f"LH:{sum(symbol.hit for symbol in entered)}"
    yield "end_of_record"


def table(found: Sequence[Symbol]) -> Iterator[str]:
    """Every symbol that was entered: how much of it was executed."""
    for symbol in found:
        if symbol.executed:
            percent = 100 * symbol.hit // max(1, symbol.size)
            yield f"{symbol.start:#18x}  {symbol.hit:>6} of {symbol.size:>6} halfwords  {percent:>3} %  {symbol.name}"


def _line(address: int, base: int) -> int:
    return (address - base) // HALFWORD + 1
