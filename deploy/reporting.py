"""What the command writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys


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
