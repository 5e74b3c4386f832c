"""Names and addresses as a file that gdb and other readers of ELF take."""

from __future__ import annotations

import io
import os
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from deploy.bisection.symbols import Symbols, read_map
from deploy.symbol_elf import CODE, DATA, symbol_elf
from machine.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAP = """\
0000000000000000 A percpu
ffffffff80000000 T _start
ffffffff80001000 t helper
ffffffff80001000 T alias
ffffffff81149320 R linux_banner
ffffffff81c10620 D init_task
ffffffff81c20000 T late
ffffffff01000000 t in_a_module\t[xhci_hcd]
"""


def read(data: bytes) -> tuple[list[Any], list[Any]]:
    """The sections with addresses, and the symbols."""
    file = ELFFile(io.BytesIO(data))
    table: Any = file.get_section_by_name(".symtab")
    symbols = list(table.iter_symbols())[1:]
    return [section for section in file.iter_sections() if section["sh_type"] == "SHT_NOBITS"], symbols


rows = st.lists(
    st.tuples(st.integers(0, (1 << 64) - 1), st.sampled_from(sorted(CODE | DATA)), st.text("abc_.$", min_size=1)),
    min_size=1,
)


@given(rows)
def test_every_name_is_in_a_section_and_no_two_sections_overlap(found: list[tuple[int, str, str]]) -> None:
    sections, symbols = read(symbol_elf(found))
    assert sorted((s["st_value"], s.name) for s in symbols) == sorted((address, name) for address, _, name in found)
    ends = [(s["sh_addr"], s["sh_addr"] + s["sh_size"]) for s in sections]
    assert all(before[1] <= after[0] for before, after in pairwise(ends))
    for symbol in symbols:
        begin, end = ends[symbol["st_shndx"] - 1]
        assert begin <= symbol["st_value"] <= end


def test_gdb_and_the_other_commands_know_the_names(tmp_path: Path) -> None:
    text, path = tmp_path / "System.map", tmp_path / "vmlinux"
    text.write_text(MAP)
    path.write_bytes(symbol_elf(read_map(io.BytesIO(MAP.encode()))))
    places = ("0xffffffff80000010", "0xffffffff81149322", "0xffffffff81c20000", "0xffffffff01000004")
    words = [word for place in places for word in ("-ex", f"info symbol {place}")]
    command = ["gdb-multiarch", "-nx", "--batch", *words, "-ex", "info address init_task", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(" in section")[0] for line in said[:4]] == [
        "_start + 16",
        "linux_banner + 2",
        "late",
        "in_a_module + 4",
    ]
    assert "0xffffffff81c10620" in said[4]
    for source in (text, path):
        assert Symbols.read(str(source)).name(0xFFFF_FFFF_8000_0010) == "_start+0x10"


@pytest.mark.parametrize(
    "text", ["", "0000000000000000 A percpu\n", "no such thing\n", "\xff", "10000000000000000 T far\n"]
)
def test_what_has_no_names_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"code and data|literal|codec|address"):
        symbol_elf(read_map(io.BytesIO(text.encode("latin-1"))))
    path = tmp_path / "names"
    path.write_text(text, encoding="latin-1")
    if "far" not in text:
        with pytest.raises(UsageError, match="names: neither an ELF file nor a System"):
            Symbols.read(str(path))


def test_a_list_of_a_kernel_that_hides_its_addresses_says_so(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("0000000000000000 T _text\n0000000000000000 t helper\t[module]\n")
    with pytest.raises(UsageError, match="all addresses in it are 0: /proc/kallsyms tells them to root alone"):
        Symbols.read(str(path))


@pytest.mark.parametrize("elf", [False, True])
def test_symbols_may_come_from_a_pipe(elf: bool) -> None:
    content = symbol_elf(read_map(io.BytesIO(MAP.encode()))) if elf else MAP.encode()
    reading, writing = os.pipe()
    with open(writing, "wb") as file:
        file.write(content)
    try:
        assert Symbols.read(f"/dev/fd/{reading}").name(0xFFFF_FFFF_8000_0010) == "_start+0x10"
    finally:
        os.close(reading)
