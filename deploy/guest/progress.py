"""Where the builder's progress lines go."""

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def say_on_stderr(line: str) -> None:
    """Show a line to whoever started the build; standard output stays free for results."""
    sys.stderr.write(f"guest: {line}\n")
    sys.stderr.flush()
