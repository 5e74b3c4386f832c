"""Loading a guest: three kinds of kernel, and one clear line for what cannot be one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from cpu_node.arch import ARCHES
from cpu_node.loader import DEVICE_TREE_ROOM, load_guest
from cpu_node.memory import GuestMemory
from machine.board import PAGE_BYTES, RAM_BASE, Board
from machine.errors import BoardError

if TYPE_CHECKING:
    from pathlib import Path

    from cpu_node.loader import Loaded

SIZE = 16 << 20
RISCV64 = ARCHES["riscv64"]
RISCV_MACHINE = 243


def load(memory: GuestMemory, kernel: Path | str, initrd: Path | str = "") -> Loaded:
    """Load with the files that matter."""
    return load_guest(Board("test", memory=SIZE, kernel=str(kernel), initrd=str(initrd)), RISCV64, memory)


def elf(machine: int, entry: int, virtual: int, physical: int, code: bytes, memory_bytes: int) -> bytes:
    """A 64-bit little-endian ELF file with one segment."""
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 120, virtual, physical, len(code), memory_bytes, 8)
    return ident + header + segment + code


@pytest.fixture
def memory() -> GuestMemory:
    return GuestMemory(SIZE)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(b"raw code")
    return path


def test_a_raw_binary_is_loaded_and_entered_where_kernels_are(memory: GuestMemory, kernel: Path) -> None:
    loaded = load(memory, kernel)
    assert loaded.entry == 0x8020_0000
    assert memory.read(loaded.entry, 8) == b"raw code"


def test_the_device_tree_lies_at_the_top_of_memory(memory: GuestMemory, kernel: Path) -> None:
    loaded = load(memory, kernel)
    assert loaded.device_tree == RAM_BASE + SIZE - DEVICE_TREE_ROOM
    assert memory.read(loaded.device_tree, 4) == b"\xd0\x0d\xfe\xed"


def test_an_elf_file_is_loaded_where_it_says_and_entered_at_its_physical_entry(
    memory: GuestMemory, tmp_path: Path
) -> None:
    path = tmp_path / "kernel.elf"
    virtual = 0xFFFF_FFFF_8000_0000
    path.write_bytes(elf(RISCV_MACHINE, virtual + 4, virtual, 0x8030_0000, b"code", 4096))
    assert load(memory, path).entry == 0x8030_0004
    assert memory.read(0x8030_0000, 5) == b"code\0"


def test_the_ramdisk_lies_in_whole_pages_under_the_device_tree(
    memory: GuestMemory, kernel: Path, tmp_path: Path
) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"i" * 5000)
    loaded = load(memory, kernel, initrd)
    start = loaded.device_tree - 2 * PAGE_BYTES
    assert memory.read(start, 5001) == b"i" * 5000 + b"\0"


def test_a_board_without_a_kernel_is_told_so(memory: GuestMemory) -> None:
    with pytest.raises(BoardError, match="board test has no kernel: give --kernel FILE"):
        load(memory, "")


def test_a_missing_kernel_is_named(memory: GuestMemory, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="nothing: cannot read the kernel: No such file"):
        load(memory, tmp_path / "nothing")


@pytest.mark.parametrize("what", ["kernel", "initrd"])
def test_an_empty_file_is_named(what: str, memory: GuestMemory, kernel: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    files = (empty, "") if what == "kernel" else (kernel, empty)
    with pytest.raises(BoardError, match=f"empty: the {what} is empty"):
        load(memory, *files)


def test_an_elf_file_of_another_architecture_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "x86"
    path.write_bytes(elf(62, 0x8020_0000, 0x8020_0000, 0x8020_0000, b"code", 4))
    with pytest.raises(BoardError, match="an ELF file for EM_X86_64, not for riscv64"):
        load(memory, path)


def test_a_damaged_elf_file_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF" + b"\xff" * 20)
    with pytest.raises(BoardError, match="broken: a damaged ELF file"):
        load(memory, path)


def test_an_elf_segment_outside_of_memory_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "low"
    path.write_bytes(elf(RISCV_MACHINE, 0x1000, 0x1000, 0x1000, b"code", 4))
    with pytest.raises(BoardError, match="4 bytes at 0x1000 are outside of 16 MiB of memory"):
        load(memory, path)


def test_a_kernel_larger_than_memory_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(SIZE))
    with pytest.raises(BoardError, match="outside of 16 MiB of memory"):
        load(memory, path)


def test_an_image_that_needs_more_room_than_its_file_is_refused_by_that(memory: GuestMemory, tmp_path: Path) -> None:
    header = bytearray(64)
    header[16:24] = (64 << 20).to_bytes(8, "little")
    header[0x38:0x3C] = b"RSC\x05"
    path = tmp_path / "Image"
    path.write_bytes(header)
    with pytest.raises(BoardError, match="67108864 bytes at 0x80200000"):
        load(memory, path)


def test_a_ramdisk_that_would_cover_the_kernel_is_refused(memory: GuestMemory, kernel: Path, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"i" * (SIZE - 3 * (1 << 20)))
    with pytest.raises(BoardError, match="initrd: does not fit into 16 MiB of memory: give --memory"):
        load(memory, kernel, initrd)


def test_a_kernel_under_the_device_tree_is_refused(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(b"k" * (SIZE - (2 << 20) - (1 << 20)))
    with pytest.raises(BoardError, match="kernel: does not fit into 16 MiB of memory: give --memory"):
        load(memory, path)
