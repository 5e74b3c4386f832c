"""`python -m deploy` and the `dejavm` script."""

import sys

from deploy.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
