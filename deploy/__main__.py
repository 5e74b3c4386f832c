"""`python -m deploy` and the `dejavm` script."""

from __future__ import annotations

from typing import NoReturn

from deploy import cli
from deploy.reporting import open_streams
from machine.leaving import leave


def main() -> NoReturn:
    """Run the command line to its end and leave with its exit code."""
    open_streams()
    leave(cli.main())


if __name__ == "__main__":
    main()
