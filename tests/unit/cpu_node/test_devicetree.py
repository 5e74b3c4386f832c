"""The device tree: libfdt reads it back, and it says what Linux's bindings ask for."""

from __future__ import annotations

from pathlib import Path

import libfdt
import pytest

from cpu_node.arch.riscv64.devicetree import PLIC_PHANDLE, TIMEBASE_HZ, build_device_tree
from machine.board import RAM_BASE, Board, DeviceSlot, parse_board

ROOT = Path(__file__).resolve().parents[3]
SERIAL = DeviceSlot(
    "serial0",
    "serial",
    0x1000_0000,
    10,
    compatible=("ns16550a",),
    properties=(("clock-frequency", 3_686_400), ("label", "console"), ("pair", (1, 2))),
)
BOARD = Board("test", memory=64 << 20, append="console=ttyS0", devices=(SERIAL,))


class Tree:
    """A flattened tree, by path."""

    def __init__(self, data: bytes) -> None:
        self.fdt = libfdt.Fdt(data)

    def property(self, path: str, name: str) -> bytes:
        """A property's bytes; libfdt's error if it is not there."""
        return bytes(self.fdt.getprop(self.fdt.path_offset(path), name))

    def strings(self, path: str, name: str) -> list[str]:
        """A property of strings."""
        return self.property(path, name).decode().rstrip("\0").split("\0")

    def cells(self, path: str, name: str) -> list[int]:
        """A property of 32-bit cells."""
        data = self.property(path, name)
        return [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]


def tree_of(board: Board, initrd: tuple[int, int] | None = None) -> Tree:
    """The board's tree, read back."""
    return Tree(build_device_tree(board, initrd))


def test_memory_is_where_the_machine_has_it() -> None:
    assert tree_of(BOARD).cells(f"/memory@{RAM_BASE:x}", "reg") == [0, RAM_BASE, 0, 64 << 20]


def test_the_kernel_finds_its_command_line_console_and_ramdisk() -> None:
    tree = tree_of(BOARD, (0x1_8000_0000, 0x1_8000_1234))
    assert tree.strings("/chosen", "bootargs") == ["console=ttyS0"]
    assert tree.strings("/chosen", "stdout-path") == ["/soc/serial@10000000"]
    assert tree.cells("/chosen", "linux,initrd-start") == [1, 0x8000_0000]
    assert tree.cells("/chosen", "linux,initrd-end") == [1, 0x8000_1234]


def test_without_a_ramdisk_none_is_named() -> None:
    with pytest.raises(libfdt.FdtException):
        tree_of(BOARD).property("/chosen", "linux,initrd-start")


def test_the_hart_says_what_it_can() -> None:
    tree = tree_of(BOARD)
    assert tree.cells("/cpus", "timebase-frequency") == [TIMEBASE_HZ]
    assert tree.strings("/cpus/cpu@0", "mmu-type") == ["riscv,sv39"]
    assert tree.strings("/cpus/cpu@0", "riscv,isa")[0].startswith("rv64imafdc")
    assert set("imafdc") <= set(tree.strings("/cpus/cpu@0", "riscv,isa-extensions"))


def test_interrupts_of_devices_go_through_the_controller_to_the_hart() -> None:
    tree = tree_of(BOARD)
    hart = tree.cells("/cpus/cpu@0/interrupt-controller", "phandle")[0]
    assert tree.cells("/soc/plic@c000000", "interrupts-extended") == [hart, 9]
    assert tree.cells("/soc/plic@c000000", "phandle") == [PLIC_PHANDLE]
    assert tree.cells("/soc/serial@10000000", "interrupt-parent") == [PLIC_PHANDLE]
    assert tree.cells("/soc/serial@10000000", "interrupts") == [10]


def test_a_device_has_its_window_and_its_own_properties() -> None:
    tree = tree_of(BOARD)
    node = "/soc/serial@10000000"
    assert tree.cells(node, "reg") == [0, 0x1000_0000, 0, 0x1000]
    assert tree.strings(node, "compatible") == ["ns16550a"]
    assert tree.cells(node, "clock-frequency") == [3_686_400]
    assert tree.strings(node, "label") == ["console"]
    assert tree.cells(node, "pair") == [1, 2]


def test_a_device_that_is_compatible_with_nothing_is_not_in_the_tree() -> None:
    hidden = DeviceSlot("x0", "serial", 0x1000_0000)
    with pytest.raises(libfdt.FdtException):
        tree_of(Board("test", devices=(hidden,))).property("/soc/serial@10000000", "reg")


def test_the_machine_can_be_switched_off_and_restarted() -> None:
    tree = tree_of(BOARD)
    test_device = tree.cells("/soc/test@100000", "phandle")
    for name, value in (("poweroff", 0x5555), ("reboot", 0x7777)):
        assert tree.strings(f"/{name}", "compatible") == [f"syscon-{name}"]
        assert tree.cells(f"/{name}", "regmap") == test_device
        assert tree.cells(f"/{name}", "value") == [value]


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "boards").glob("*.toml")), ids=lambda path: path.stem)
def test_every_board_that_is_shipped_has_a_tree_with_all_its_devices(path: Path) -> None:
    board = parse_board(path.read_text(), path.name)
    tree = tree_of(board)
    for slot in board.devices:
        assert tree.strings(f"/soc/{slot.kind}@{slot.address:x}", "compatible") == list(slot.compatible)


def test_one_board_gives_one_tree() -> None:
    assert build_device_tree(BOARD, (1, 2)) == build_device_tree(BOARD, (1, 2))
