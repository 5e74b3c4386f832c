"""What the command writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from machine.errors import MachineError
from machine.shown import shown_line, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    with taking():
        sys.stdout.write(shown_text(text) + "\n")


def put_out() -> None:
    """Have all results taken that were put; as put()."""
    with taking():
        sys.stdout.flush()


@contextmanager
def taking() -> Iterator[None]:
    """While something is written to standard output; MachineError, BrokenPipeError as put()."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MachineError(f"standard output: cannot write: {error.strerror}") from error


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
