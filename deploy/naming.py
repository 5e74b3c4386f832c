"""How a command is told which of the machines that are up is meant: NAME, or --name N as `up` has it.

Lives here: the arguments.  Never here: what there is (deploy/supervision/place.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import UsageError

if TYPE_CHECKING:
    import argparse


def add_name(parser: argparse.ArgumentParser, default: str) -> None:
    """NAME, and --name for who has typed it behind `up`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"the machine (default: {default})")
    parser.add_argument("--name", dest="named", metavar="NAME", help="the same")


def name_of(options: argparse.Namespace) -> str | None:
    """The machine's name, if one was given; UsageError if two were."""
    if options.name is not None and options.named is not None:
        raise UsageError(f"which machine, {options.name} or {options.named}? name one")
    return options.name if options.named is None else str(options.named)
