"""`python -m cpu_node`: the CPU's process."""

from __future__ import annotations

import argparse
import sys

from cpu_node.arch import ARCHES
from cpu_node.bus import Bus
from cpu_node.engine import Cpu
from cpu_node.keeper import Keeper
from cpu_node.link import Link
from cpu_node.loop import DIGEST_EVERY, Loop
from cpu_node.memory import GuestMemory
from cpu_node.staging import Staging
from cpu_node.state import CpuState
from machine.clock import VirtualClock
from machine.errors import BoardError
from machine.leaving import leave
from machine.node import NodeArguments, announce_ready, introduce, parse_arguments, run_node
from machine.port import Port


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only the CPU's process is told."""
    parser.add_argument("--stop-at", type=int, default=None, metavar="ICOUNT", help="stand still at this instruction")
    parser.add_argument("--incoming", action="store_true", help="wait to be told the state to start in")
    for name, what in (("stop", "stop for nothing"), ("tb", "drop translations"), ("tlb", "flush the TLB")):
        parser.add_argument(
            f"--chaos-{name}", type=int, default=0, metavar="N", help=f"for tests: {what} once in N instructions"
        )
    parser.add_argument("--gdb", metavar="ADDRESS", help="serve gdb there")
    parser.add_argument("--halted", action="store_true", help="stand before the first instruction until gdb comes")
    parser.add_argument("--gdb-writes", action="store_true", help="gdb may change the machine")
    parser.add_argument("--qmp", metavar="PATH", help="the monitor's socket, by which gdb ends the machine")
    parser.add_argument("--chaos-seed", type=int, default=1, help="for tests: seed of the perturbations")


def _staging(arguments: NodeArguments, memory: GuestMemory, link: Link) -> Staging:
    """Where a copy of memory is made for a snapshot."""
    if not arguments.distant:
        return Staging(memory)
    # Imported here: most machines are on one host.
    from cpu_node.remote_staging import RemoteStaging  # noqa: PLC0415

    return RemoteStaging(memory, link)


def main(arguments: NodeArguments, port: Port) -> None:
    """Build the CPU, load the guest, run."""
    board = arguments.board
    arch = ARCHES.get(board.cpu)
    if arch is None:
        raise BoardError(f"machine.cpu: {board.cpu} is not one of {', '.join(sorted(ARCHES))}")
    memory = GuestMemory(board.memory)
    welcome = introduce(port, arguments, memory.path)
    clock = VirtualClock(board.shift)
    link = Link(port)
    bus = Bus(board, link, clock)
    cpu = Cpu(board, arch, memory, bus.access)
    options = arguments.options
    cpu.native.chaos_state = options.chaos_seed
    cpu.native.chaos_stop = options.chaos_stop
    cpu.native.chaos_tb = options.chaos_tb
    cpu.native.chaos_tlb = options.chaos_tlb
    keeper = Keeper(board, arch, cpu, bus, memory, DIGEST_EVERY, _staging(arguments, memory, link))
    loop = Loop(cpu, bus, memory, link, clock, keeper)
    bus.attach(cpu, loop)
    arguments.diagnostics.icount = lambda: cpu.native.icount
    if options.incoming or welcome.rebuild or welcome.continued:
        loop.load(link.await_load(keeper.put))
    else:
        keeper.power_on()
    cpu.native.wake_fd = port.wake_fd
    states = (CpuState, type(cpu.platform.state), type(bus.timers.state))
    if options.gdb is None:
        announce_ready(port, *states)
        loop.run(options.stop_at)
        return
    # Imported here: who starts a machine without gdb does not wait for it.
    from cpu_node.gdbstub.joining import join_gdb  # noqa: PLC0415

    # One that stands in for another, of a broker that has died, is not held where it goes on.
    options.halted = options.halted and not welcome.continued_seq
    with join_gdb(options, arch, (cpu, bus, memory, link, clock), loop) as stub:
        cpu.native.wake_fd = stub.join(port.wake_fd)
        announce_ready(port, *states)
        loop.run(options.stop_at)


if __name__ == "__main__":
    leave(run_node(parse_arguments(sys.argv[1:], add_options), main))
