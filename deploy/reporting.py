"""What the command writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Final

from machine.errors import MachineError
from machine.shown import shown_line, shown_text

STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_streams() -> None:
    """Have all three standard streams, where we were started without one (`>&-`).

    Nobody else must get its descriptor: what a process says would be written into the file that has it.
    MachineError where there is no /dev/null.
    """
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(STREAMS):
            os.set_inheritable(descriptor, True)
    except OSError as error:
        raise MachineError(f"{os.devnull}: cannot open: {error.strerror}; dejavm needs one") from error
    os.close(descriptor)
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115  # as long as we are there
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does: a name that its encoding has no letters for is no reason to say nothing.
        sys.stdout.reconfigure(errors="backslashreplace")


def put(text: str) -> None:
    """A result; MachineError if nobody takes it, BrokenPipeError if nobody does any more.

    What a stranger's recording says of itself reaches no terminal as a sequence of its own.
    """
    try:
        sys.stdout.write(shown_text(text) + "\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused(error) from error


def put_out() -> None:
    """Have all results taken that were put; as put()."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused(error) from error


def refused(error: OSError) -> MachineError:
    """Standard output does not take any more."""
    return MachineError(f"standard output: cannot write: {error.strerror}")


def complain(text: str) -> None:
    """One line for the user about what went wrong, with our name in front."""
    say(f"dejavm: {text}")


def say(text: str) -> None:
    """One line for the user, whatever is in it.

    He may be gone: a terminal that was closed ends nothing, nor does a full disk.
    """
    with suppress(OSError):
        sys.stderr.write(shown_line(text) + "\n")
        sys.stderr.flush()
