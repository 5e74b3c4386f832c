"""What the command writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from typing import Final

STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_streams() -> None:
    """Have all three standard streams, where we were started without one (`>&-`).

    Nobody else must get its descriptor: what a process says would be written into the file that has it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(STREAMS):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115  # as long as we are there


def put(text: str) -> None:
    """A result."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """One line for the user about what went wrong, with our name in front."""
    say(f"dejavm: {text}")


def say(text: str) -> None:
    """One line for the user."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()
