"""`dejavm gdb`: gdb in front of a recording, forwards and backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.debugging import debug
from deploy.library import open_recording
from deploy.reading_options import add_recording, add_until

if TYPE_CHECKING:
    import argparse

PROGRAM: Final = "gdb-multiarch"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_until(parser, "begin at this instruction instead of power-on")
    parser.add_argument("--program", metavar="GDB", default=PROGRAM, help=f"which gdb (default: {PROGRAM})")
    parser.add_argument("--symbols", metavar="FILE", help="an ELF file (vmlinux), a System.map or /proc/kallsyms")
    parser.set_defaults(arguments=())
    parser.epilog = "what stands behind `--` are gdb's own arguments, such as a vmlinux"


def run(options: argparse.Namespace) -> int:
    """Debug; gdb's exit code."""
    return debug(open_recording(options.recording), options.until, options.program, options.symbols, options.arguments)
