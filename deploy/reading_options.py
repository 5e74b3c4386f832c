"""The options of subcommands that read a recording.

Lives here: what needs nothing but the parser, so that these subcommands are up at once.
Never here: options about a machine (options.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_recording(parser: argparse.ArgumentParser) -> None:
    """REC."""
    parser.add_argument(
        "recording", nargs="?", metavar="REC", help="a recording's directory (default: the newest in ./recordings)"
    )


def add_until(parser: argparse._ActionsContainer, what: str) -> None:
    """--until."""
    parser.add_argument("--until", metavar="ICOUNT", type=int, help=what)


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=what)


def add_devices(parser: argparse.ArgumentParser) -> None:
    """--devices."""
    parser.add_argument(
        "--devices", choices=("log", "live"), help="log: the log is the devices; live: they run again and are compared"
    )
