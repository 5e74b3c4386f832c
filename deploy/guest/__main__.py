"""`python -m deploy.guest`: build the default guest if it is not there, and say where it is."""

import argparse
import os
import sys
from pathlib import Path

from deploy.guest.errors import GuestError
from deploy.guest.store import ensure_guest


def main() -> int:
    """Build; 0 if the guest can be used."""
    arguments = _parser().parse_args()
    try:
        guest = ensure_guest(arguments.cache or default_cache(), mirror=arguments.mirror)
    except GuestError as error:
        sys.stderr.write(f"guest: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("guest: interrupted; packages already fetched are kept\n")
        return 130
    sys.stdout.write(f"{guest.kernel}\n{guest.initrd}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.guest", description=__doc__)
    parser.add_argument(
        "--cache",
        type=Path,
        default=None,
        help="where to keep it (default: $DEJAVM_CACHE or ~/.cache/dejavm)",
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help="the Debian archive to fetch from (default: the one this host installs from)",
    )
    return parser


def default_cache() -> Path:
    """Return the cache directory of the user; GuestError where he has no home."""
    given = os.environ.get("DEJAVM_CACHE")
    try:
        return Path(given) if given else Path.home() / ".cache" / "dejavm"
    except RuntimeError as error:
        raise GuestError("there is no home directory; set HOME, or DEJAVM_CACHE to where the guest is kept") from error


if __name__ == "__main__":
    sys.exit(main())
