"""`python3 -m deploy.prerequisites`: what this host lacks to build `.venv`; runs before there is one."""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 11)
PACKAGES = (("gcc", "gcc", "a C compiler"), ("make", "make", "make"))
"""Program, Debian's package with it, what to call it."""


def missing() -> "list[tuple[str, str]]":
    """What is not there, as (Debian's package, what it is)."""
    found = [(package, what) for program, package, what in PACKAGES if shutil.which(program) is None]
    if sys.version_info < OLDEST:
        found.append(("python3", f"Python 3.11 (this is {sys.version.split()[0]}; PYTHON=... names another)"))
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        found.append(("python3-dev", f"the headers of {sys.executable}"))
    if importlib.util.find_spec("ensurepip") is None:
        found.append(("python3-venv", "Python's venv module with pip"))
    return found


def main() -> int:
    """Say what is missing, for people or (`--packages`) for apt-get; 1 if anything is."""
    lacks = missing()
    if sys.argv[1:] == ["--packages"]:
        sys.stdout.write(" ".join(package for package, _ in lacks))
        return 0
    for package, what in lacks:
        sys.stderr.write(f"missing: {what}; on Debian: apt install {package}\n")
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
