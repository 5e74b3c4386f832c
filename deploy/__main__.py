"""`python -m deploy` and the `dejavm` script."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from deploy import cli
from deploy.environment import speak_utf8
from deploy.reporting import open_streams
from machine.errors import EXIT_INTERRUPTED, MachineError
from machine.leaving import die_of, leave


def main() -> NoReturn:
    """Run the command line to its end and leave with its exit code; interrupted, of the signal itself.

    A shell that runs a script goes on behind a program that has taken Ctrl-C for an end in order.
    """
    speak_utf8()
    try:
        open_streams()
    except MachineError as error:
        sys.exit(f"dejavm: {error}")
    exit_code = cli.main()
    if exit_code == EXIT_INTERRUPTED:
        die_of(signal.SIGINT)
    leave(exit_code)


if __name__ == "__main__":
    main()
