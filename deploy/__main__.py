"""`python -m deploy` and the `dejavm` script."""

from __future__ import annotations

import signal

HEEDED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""Whether Ctrl-C is for us; a shell has what it starts in the background ignore it."""
if HEEDED:
    # Until somebody is there who can say what was interrupted: Python would show where it was importing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys  # noqa: E402
from typing import NoReturn  # noqa: E402

from deploy import cli  # noqa: E402
from deploy.environment import speak_utf8  # noqa: E402
from deploy.reporting import open_streams  # noqa: E402
from machine.errors import EXIT_INTERRUPTED, MachineError  # noqa: E402
from machine.leaving import die_of, leave  # noqa: E402


def main() -> NoReturn:
    """Run the command line to its end and leave with its exit code; interrupted, of the signal itself.

    A shell that runs a script goes on behind a program that has taken Ctrl-C for an end in order.
    """
    speak_utf8()
    try:
        open_streams()
    except MachineError as error:
        sys.exit(f"dejavm: {error}")
    if HEEDED:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    exit_code = cli.main()
    if exit_code == EXIT_INTERRUPTED:
        die_of(signal.SIGINT)
    leave(exit_code)


if __name__ == "__main__":
    main()
