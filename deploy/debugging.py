"""gdb in front of a recording: its server's process, and gdb itself beside it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Final

from deploy.bisection.symbols import is_elf, read_map, symbol_file
from deploy.environment import node_environment, runtime_directory
from deploy.replaying import plan_replay
from deploy.scratch import put_file, scratch
from deploy.symbol_elf import symbol_elf
from machine.board import render_board
from machine.errors import EXIT_DONE, UsageError, told_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from machine.recording.reader import Recording

COMMANDS: Final = """\
set architecture riscv:rv64
set osabi none
set remotetimeout 3600
python
def look_again():
    # gdb keeps registers in mind, and what was in memory that is watched.
    gdb.execute("maintenance flush register-cache", to_string=True)
    kinds = (gdb.BP_HARDWARE_WATCHPOINT, gdb.BP_READ_WATCHPOINT, gdb.BP_ACCESS_WATCHPOINT)
    for point in gdb.breakpoints() or ():
        if point.type in kinds and point.enabled:
            point.enabled = False
            point.enabled = True
    gdb.execute("frame")
end
define when
  monitor when
end
document when
Instructions, virtual time and messages up to here.
end
define seek
  monitor seek $arg0
  python look_again()
end
document seek
Go to an instruction: seek ICOUNT.
end
define restart-at
  monitor restart $arg0
  python look_again()
end
document restart-at
Go to a place that `monitor checkpoint` has kept: restart-at N.
end
define events
  monitor events
end
document events
The messages around here.
end
"""
"""gdb's own words for what moves it behind its back."""


def serve(recording: Recording, address: str, until: int | None) -> int:
    """Serve gdb in front of a recording until one kills it or Ctrl-C comes; the exit code."""
    with _server(recording, address, until) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            # The server has the terminal's signal too.
            server.wait()
            return EXIT_DONE


def debug(recording: Recording, until: int | None, program: str, symbols: str | None, arguments: Sequence[str]) -> int:
    """gdb on this terminal in front of a recording; gdb's exit code."""
    if shutil.which(program) is None:
        raise UsageError(f"{program} is not installed; on Debian: apt install gdb-multiarch")
    with scratch(runtime_directory()) as (directory, _):
        place = directory / "gdb"
        names = f"file {_known(symbols, directory)}\n" if symbols else ""
        commands = put_file(directory / "commands", f"{COMMANDS}{names}target remote {place}\n")
        with _server(recording, f"unix:{place}", until, "--once", "--quiet"):
            # Ctrl-C is gdb's: it interrupts the machine.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                return subprocess.run(
                    [program, "-q", "-x", str(commands), *arguments], check=False, preexec_fn=_heed_interrupts
                ).returncode
            finally:
                signal.signal(signal.SIGINT, before)


def _known(symbols: str, directory: Path) -> str:
    """Those in a form that gdb reads; UsageError."""
    with symbol_file(symbols) as file:
        if not is_elf(file):
            content = symbol_elf(read_map(file))
        elif isinstance(file, BytesIO):
            # A pipe is empty when gdb reads it.
            content = file.getvalue()
        else:
            return symbols
    return str(put_file(directory / "symbols.elf", content))


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _server(recording: Recording, address: str, until: int | None, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process, which listens; MachineError if it does not, with what it says on standard error."""
    planned = plan_replay(recording, "log", until=until)
    with scratch(runtime_directory()) as (place, _):
        board = put_file(place / "machine.toml", render_board(planned.board))
        reading, writing = os.pipe()
        argv = [sys.executable, "-P", "-m", "cpu_node.gdbstub", str(recording.path.absolute()), "--board", str(board)]
        argv += ["--gdb", address, "--ready", str(writing), *options]
        argv += [] if until is None else ["--until", str(until)]
        process = subprocess.Popen(argv, env=node_environment(place), pass_fds=(writing,))
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            listening = ready.read()
        try:
            if not listening:
                code = process.wait()
                raise told_as(code, "gdb's server has ended; it said why")
            yield process
        finally:
            process.terminate()
            process.wait()
