"""The options several subcommands share, and what they are as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.resolve import MachineOptions

if TYPE_CHECKING:
    import argparse

DEFAULT_BOARD = "debian"
SERIAL_HELP = (
    "stdio, null, pty, file:PATH, tcp:HOST:PORT[,server=on][,wait=off], unix:PATH[,server=on][,wait=off], "
    "script:PATH; given again, it is for the next serial line"
)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """BOARD and everything that changes it."""
    parser.add_argument(
        "board", nargs="?", default=DEFAULT_BOARD, metavar="BOARD",
        help=f"a name from deploy/boards/ or a TOML file (default: {DEFAULT_BOARD})",
    )  # fmt: skip
    parser.add_argument("--kernel", metavar="FILE", help="a Linux Image, an ELF or a raw binary")
    parser.add_argument("--initrd", metavar="FILE", help="an initial RAM disk")
    parser.add_argument("--append", metavar="TEXT", help="the kernel's command line")
    parser.add_argument("--memory", metavar="SIZE", help="such as 512M or 2G")
    parser.add_argument("--sleep", choices=("on", "off"), help="whether an idle guest waits in real time")
    parser.add_argument("--serial", metavar="BACKEND", action="append", default=[], help=SERIAL_HELP)


def machine_options(options: argparse.Namespace) -> MachineOptions:
    """What add_machine_options() has parsed."""
    return MachineOptions(
        kernel=options.kernel,
        initrd=options.initrd,
        append=options.append,
        memory=options.memory,
        serial=tuple(options.serial),
        sleep=options.sleep,
    )


def add_recording(parser: argparse.ArgumentParser) -> None:
    """REC."""
    parser.add_argument(
        "recording", nargs="?", metavar="REC", help="a recording's directory (default: the newest in ./recordings)"
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=what)


def add_devices(parser: argparse.ArgumentParser) -> None:
    """--devices."""
    parser.add_argument(
        "--devices", choices=("log", "live"), help="log: the log is the devices; live: they run again and are compared"
    )
