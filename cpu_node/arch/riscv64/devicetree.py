"""The device tree of a board, as Linux's bindings and QEMU's virt board have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libfdt

from machine.board import CONTROLLER_WINDOWS, RAM_BASE

if TYPE_CHECKING:
    from machine.board import Board, DeviceSlot, Property

TIMEBASE_HZ: Final = 10_000_000
SUPERVISOR_EXTERNAL: Final = 9
CPU_PHANDLE: Final = 1
PLIC_PHANDLE: Final = 2
TEST_PHANDLE: Final = 3
FIRST_BYTES: Final = 64 * 1024


class _Tree:
    """A thin shape over libfdt's sequential writer: properties by Python type, nodes by `with`-less pairs."""

    def __init__(self) -> None:
        self._fdt = libfdt.FdtSw()
        self._fdt.INC_SIZE = FIRST_BYTES
        self._fdt.finish_reservemap()

    def begin(self, name: str) -> None:
        self._fdt.begin_node(name)

    def end(self) -> None:
        self._fdt.end_node()

    def put(self, name: str, value: Property | tuple[str, ...] | None = None) -> None:
        if value is None:
            self._fdt.property(name, b"")
        elif isinstance(value, str):
            self._fdt.property_string(name, value)
        elif isinstance(value, int):
            self._fdt.property_u32(name, value)
        elif value and isinstance(value[0], str):
            self._fdt.property(name, b"".join(str(item).encode() + b"\0" for item in value))
        else:
            self._fdt.property(name, b"".join(int(item).to_bytes(4, "big") for item in value))

    def reg(self, address: int, size: int) -> None:
        self._fdt.property("reg", address.to_bytes(8, "big") + size.to_bytes(8, "big"))

    def bytes(self) -> bytes:
        tree = self._fdt.as_fdt()
        tree.pack()
        return bytes(tree.as_bytearray()[: tree.totalsize()])


def build_device_tree(board: Board, initrd: tuple[int, int] | None) -> bytes:
    """The flattened tree for a board and an initial ramdisk at [start, end)."""
    tree = _Tree()
    tree.begin("")
    tree.put("#address-cells", 2)
    tree.put("#size-cells", 2)
    tree.put("compatible", ("riscv-virtio",))
    tree.put("model", f"dejavm,{board.name}")
    _chosen(tree, board, initrd)
    _cpus(tree)
    tree.begin(f"memory@{RAM_BASE:x}")
    tree.put("device_type", "memory")
    tree.reg(RAM_BASE, board.memory)
    tree.end()
    tree.begin("soc")
    tree.put("#address-cells", 2)
    tree.put("#size-cells", 2)
    tree.put("compatible", "simple-bus")
    tree.put("ranges")
    _controllers(tree)
    for slot in board.devices:
        _device(tree, slot)
    tree.end()
    _power(tree)
    tree.end()
    return tree.bytes()


def _chosen(tree: _Tree, board: Board, initrd: tuple[int, int] | None) -> None:
    tree.begin("chosen")
    tree.put("bootargs", board.append)
    console = next((slot for slot in board.devices if slot.kind == "serial"), None)
    if console is not None:
        tree.put("stdout-path", f"/soc/{_node_name(console)}")
    if initrd is not None:
        for name, address in zip(("linux,initrd-start", "linux,initrd-end"), initrd, strict=True):
            tree.put(name, (address >> 32, address & 0xFFFF_FFFF))
    tree.end()


def _cpus(tree: _Tree) -> None:
    tree.begin("cpus")
    tree.put("#address-cells", 1)
    tree.put("#size-cells", 0)
    tree.put("timebase-frequency", TIMEBASE_HZ)
    tree.begin("cpu@0")
    tree.put("device_type", "cpu")
    tree.put("reg", 0)
    tree.put("status", "okay")
    tree.put("compatible", "riscv")
    tree.put("riscv,isa", "rv64imafdc_zicntr_zicsr_zifencei")
    tree.put("riscv,isa-base", "rv64i")
    tree.put("riscv,isa-extensions", ("i", "m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei"))
    tree.put("mmu-type", "riscv,sv39")
    tree.begin("interrupt-controller")
    tree.put("#interrupt-cells", 1)
    tree.put("interrupt-controller")
    tree.put("compatible", "riscv,cpu-intc")
    tree.put("phandle", CPU_PHANDLE)
    tree.end()
    tree.end()
    tree.end()


def _controllers(tree: _Tree) -> None:
    windows = {name: (address, size) for name, address, size in CONTROLLER_WINDOWS}
    address, size = windows["plic"]
    tree.begin(f"plic@{address:x}")
    tree.put("compatible", ("sifive,plic-1.0.0", "riscv,plic0"))
    tree.reg(address, size)
    tree.put("#interrupt-cells", 1)
    tree.put("#address-cells", 0)
    tree.put("interrupt-controller")
    tree.put("interrupts-extended", (CPU_PHANDLE, SUPERVISOR_EXTERNAL))
    tree.put("riscv,ndev", 31)
    tree.put("phandle", PLIC_PHANDLE)
    tree.end()
    address, size = windows["test"]
    tree.begin(f"test@{address:x}")
    tree.put("compatible", ("sifive,test1", "sifive,test0", "syscon"))
    tree.reg(address, size)
    tree.put("phandle", TEST_PHANDLE)
    tree.end()


def _power(tree: _Tree) -> None:
    for name, value in (("poweroff", 0x5555), ("reboot", 0x7777)):
        tree.begin(name)
        tree.put("compatible", f"syscon-{name}")
        tree.put("regmap", TEST_PHANDLE)
        tree.put("offset", 0)
        tree.put("value", value)
        tree.end()


def _node_name(slot: DeviceSlot) -> str:
    return f"{slot.kind.partition(':')[0].rpartition('.')[2]}@{slot.address:x}"


def _device(tree: _Tree, slot: DeviceSlot) -> None:
    if not slot.compatible:
        return
    tree.begin(_node_name(slot))
    tree.put("compatible", slot.compatible)
    tree.reg(slot.address, slot.size)
    if slot.irq:
        tree.put("interrupt-parent", PLIC_PHANDLE)
        tree.put("interrupts", slot.irq)
    for name, value in slot.properties:
        tree.put(name, value)
    tree.end()
