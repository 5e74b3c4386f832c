"""`dejavm keygen`: make the keys of a machine whose processes are on several hosts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.devices import with_devices
from deploy.options import DEFAULT_BOARD, add_device_options, device_words
from deploy.reporting import put
from deploy.resolve import load_board
from machine.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("directory", metavar="DIR", help="a new directory, mode 0700")
    parser.add_argument(
        "board", nargs="?", default=DEFAULT_BOARD, metavar="BOARD", help="the machine (default: %(default)s)"
    )
    add_device_options(parser)


def run(options: argparse.Namespace) -> int:
    """One pair for each node of the board, for the broker, and for who operates the machine."""
    # Imported here: no other command needs keys.
    from machine.keys import BROKER, OPERATOR, KeyRing  # noqa: PLC0415

    board = with_devices(load_board(options.board)[0], device_words(options))
    directory = Path(options.directory)
    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(
            f"{directory}: cannot make the directory: {error.strerror}; name one that is not there"
        ) from error
    names = (BROKER, OPERATOR, "cpu", *(slot.name for slot in board.devices))
    ring = KeyRing(directory)
    for name in names:
        ring.make(name)
    put(f"{directory}: keys of {', '.join(names)}")
    return EXIT_DONE
