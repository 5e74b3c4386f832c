"""Putting a kernel, an initial ramdisk and a device tree into guest memory.

Sources: Linux Documentation/arch/riscv/boot-image-header.rst (Image), the ELF specification by way of
pyelftools, Documentation/arch/riscv/boot.rst (where an initrd may lie).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.board import MIB, PAGE_BYTES, RAM_BASE
from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    from elftools.elf.elffile import ELFFile

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.memory import GuestMemory
    from machine.board import Board

IMAGE_MAGIC: Final = b"RSC\x05"
IMAGE_MAGIC_AT: Final = 0x38
IMAGE_HEADER_BYTES: Final = 64
ELF_MACHINE: Final = {"riscv64": "EM_RISCV"}
DEVICE_TREE_ROOM: Final = 2 * MIB


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where the guest starts and where its device tree is, guest physical."""

    entry: int
    device_tree: int


@dataclass(frozen=True, slots=True)
class _Kernel:
    entry: int
    end: int


def load_guest(board: Board, arch: ArchSpec, memory: GuestMemory) -> Loaded:
    """Load everything the board names; BoardError says which file does not fit or is none."""
    if not board.kernel:
        raise BoardError(f"board {board.name} has no kernel: give --kernel FILE")
    kernel = _load_kernel(board, arch, memory)
    top = RAM_BASE + memory.size
    tree_at = top - DEVICE_TREE_ROOM
    initrd = _load_initrd(board, memory, kernel.end, tree_at)
    tree = arch.device_tree(board, initrd)
    if kernel.end > tree_at or len(tree) > DEVICE_TREE_ROOM:
        raise BoardError(f"{board.kernel}: does not fit into {memory.size // MIB} MiB of memory: give --memory")
    memory.write(tree_at, tree)
    return Loaded(kernel.entry, tree_at)


@contextmanager
def _opened(path: str, what: str) -> Iterator[tuple[FileIO, int]]:
    """An open file and its size in bytes; BoardError if there is none, if it is empty or cannot be read."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise BoardError(f"{path}: the {what} is empty")
            yield file, size
    except OSError as error:
        raise BoardError(f"{path}: cannot read the {what}: {error.strerror}") from error


def _load_kernel(board: Board, arch: ArchSpec, memory: GuestMemory) -> _Kernel:
    with _opened(board.kernel, "kernel") as (file, size):
        header = os.pread(file.fileno(), IMAGE_HEADER_BYTES, 0)
        if header[:4] == b"\x7fELF":
            return _load_elf(board.kernel, arch, memory)
        span = size
        if header[IMAGE_MAGIC_AT : IMAGE_MAGIC_AT + 4] == IMAGE_MAGIC and len(header) == IMAGE_HEADER_BYTES:
            # image_size covers what the kernel uses behind its file (boot-image-header.rst).
            span = max(size, int.from_bytes(header[16:24], "little"))
        _fits(board.kernel, memory, arch.load_address, span)
        _fill(memory, arch.load_address, file, size)
    return _Kernel(arch.load_address, arch.load_address + span)


def _fill(memory: GuestMemory, address: int, file: FileIO, size: int) -> None:
    """Straight into guest memory: bytes on the way would be copied twice, 40 million of them in a Debian guest."""
    if memory.load(address, file, size) != size:
        raise BoardError(f"{file.name}: became shorter while it was read")


def _load_elf(path: str, arch: ArchSpec, memory: GuestMemory) -> _Kernel:
    # Imported here: few kernels are ELF files, and every start would pay for it.
    from elftools.common.exceptions import ELFError  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        with Path(path).open("rb") as stream:
            elf = ELFFile(stream)
            if elf["e_machine"] != ELF_MACHINE[arch.name]:
                raise BoardError(f"{path}: an ELF file for {elf['e_machine']}, not for {arch.name}")
            end = RAM_BASE
            for segment in elf.iter_segments("PT_LOAD"):
                start = segment["p_paddr"]
                _fits(path, memory, start, segment["p_memsz"])
                memory.write(start, segment.data())
                end = max(end, start + segment["p_memsz"])
            return _Kernel(_physical_entry(elf), end)
    except ELFError as error:
        raise BoardError(f"{path}: a damaged ELF file: {error}") from error


def _physical_entry(elf: ELFFile) -> int:
    """The entry point, moved to where its segment is loaded."""
    entry = int(elf["e_entry"])
    for segment in elf.iter_segments("PT_LOAD"):
        if segment["p_vaddr"] <= entry < segment["p_vaddr"] + segment["p_memsz"]:
            return entry - int(segment["p_vaddr"]) + int(segment["p_paddr"])
    return entry


def _load_initrd(board: Board, memory: GuestMemory, kernel_end: int, top: int) -> tuple[int, int] | None:
    if not board.initrd:
        return None
    with _opened(board.initrd, "initrd") as (file, size):
        start = (top - size) // PAGE_BYTES * PAGE_BYTES
        if start < kernel_end:
            raise BoardError(f"{board.initrd}: does not fit into {memory.size // MIB} MiB of memory: give --memory")
        _fill(memory, start, file, size)
    return start, start + size


def _fits(path: str, memory: GuestMemory, address: int, size: int) -> None:
    if not memory.holds(address, size):
        raise BoardError(f"{path}: {size} bytes at {address:#x} are outside of {memory.size // MIB} MiB of memory")
