"""gdb joined to the CPU's process, as its arguments say."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cpu_node.debugger import Standing
from cpu_node.gdbstub.listener import Listener
from cpu_node.gdbstub.live import LiveStub, LiveTarget
from machine.errors import BackendError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.bus import Bus
    from cpu_node.engine import Cpu
    from cpu_node.link import Link
    from cpu_node.loop import Loop
    from cpu_node.memory import GuestMemory
    from machine.clock import VirtualClock

QUIT: Final = b"".join(json.dumps({"execute": name}).encode() + b"\n" for name in ("qmp_capabilities", "quit"))


@contextmanager
def join_gdb(
    options: argparse.Namespace, arch: ArchSpec, parts: tuple[Cpu, Bus, GuestMemory, Link, VirtualClock], loop: Loop
) -> Iterator[LiveStub]:
    """The stub that the arguments ask for, joined with the loop, the link and the bus; BackendError."""
    cpu, bus, memory, link, clock = parts
    standing = Standing(arch, cpu, memory, clock)
    target = LiveTarget(standing, clock, loop, link, may_write=options.gdb_writes)
    try:
        listener = Listener(options.gdb)
    except UsageError as error:
        raise BackendError(str(error)) from error
    stub = LiveStub(target, standing, cpu, link, listener, halted=options.halted)
    stub.kill = lambda: _quit(options.qmp)
    loop.debugger = stub
    link.visitor = stub
    bus.on_dma = stub.device_wrote
    loop.changes.on_write = stub.changed
    try:
        yield stub
    finally:
        stub.close()


def _quit(monitor: str) -> None:
    """End the machine as its monitor's `quit` does."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(monitor)
        line.sendall(QUIT)
