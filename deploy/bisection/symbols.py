"""Names for addresses: the functions of an ELF file (a vmlinux) or of a System.map, which /proc/kallsyms is too."""

from __future__ import annotations

import bisect
import io
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from machine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ELF_MAGIC = b"\x7fELF"
CODE = "tT"
"""The letters of nm(1) for functions."""


class Function(NamedTuple):
    """First address, name, and bytes of code, 0 where nobody says how many."""

    start: int
    name: str
    size: int = 0


class Symbols:
    """Functions by address."""

    def __init__(self, rows: Iterable[Function] = ()) -> None:
        self._rows = sorted(rows)

    @classmethod
    def read(cls, path: str) -> Symbols:
        """The functions in a file; UsageError if it cannot be read, is neither or has none."""
        with symbol_file(path) as file:
            rows = _of_elf(file) if is_elf(file) else _of_map(file)
            if not rows:
                raise ValueError("no functions in it")
            return cls(rows)

    def rows(self) -> list[Function]:
        """All of them, by address."""
        return self._rows

    def name(self, address: int) -> str:
        """`start_kernel+0x1c`, or "" if no function begins at or before the address."""
        at = bisect.bisect_right(self._rows, address, key=lambda row: row.start) - 1
        if at < 0:
            return ""
        start, name, _ = self._rows[at]
        return f"{name}+{address - start:#x}" if address != start else name


@contextmanager
def symbol_file(path: str) -> Iterator[IO[bytes]]:
    """A file of symbols, which may be a pipe; UsageError for what cannot be read, and for a ValueError by who reads."""
    try:
        with Path(path).open("rb") as file:
            yield file if file.seekable() else io.BytesIO(file.read())
    except OSError as error:
        raise UsageError(f"{path}: cannot read symbols: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: neither an ELF file nor a System.map: {error}") from error


def is_elf(file: IO[bytes]) -> bool:
    """By its first bytes; the file is at its beginning before and after; OSError."""
    magic = file.read(len(ELF_MAGIC))
    file.seek(0)
    return magic == ELF_MAGIC


def _of_elf(file: IO[bytes]) -> list[Function]:
    from elftools.common.exceptions import ELFError  # noqa: PLC0415  # loading it takes its time
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        table: Any = ELFFile(file).get_section_by_name(".symtab")
        symbols = [] if table is None else list(table.iter_symbols())
        return [Function(s["st_value"], s.name, s["st_size"]) for s in symbols if s["st_info"]["type"] == "STT_FUNC"]
    except ELFError as error:
        raise ValueError(error) from error


def read_map(file: IO[bytes]) -> list[tuple[int, str, str]]:
    """The address, the letter of nm(1) and the name of each row; what a module's row says behind that is left out.

    ValueError if it is no such list, or one of a kernel that hides its addresses from who has read it (kptr_restrict).
    """
    rows = []
    for line in file.read().decode("ascii").splitlines():
        address, kind, name = line.split(maxsplit=2)
        rows.append((int(address, 16), kind, name.partition("\t")[0]))
    if rows and not any(address for address, _, _ in rows):
        raise ValueError("all addresses in it are 0: /proc/kallsyms tells them to root alone")
    return rows


def _of_map(file: IO[bytes]) -> list[Function]:
    return [Function(address, name) for address, kind, name in read_map(file) if kind in CODE]
