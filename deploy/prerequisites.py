"""`python3 -m deploy.prerequisites`: what this host lacks to build `.venv`; runs before there is one.

With `--packages`: Debian's packages with all that is missing, what only tests need among them.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 11)
PACKAGES = (("gcc", "gcc", "a C compiler"), ("make", "make", "make"))
"""Program, Debian's package with it, what to call it."""
TEST_PACKAGES = (
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("passt", "passt"),
    ("ip", "iproute2"),
    ("qemu-system-riscv64", "qemu-system-misc"),
    ("gdb-multiarch", "gdb-multiarch"),
    ("systemd-analyze", "systemd"),
    ("tshark", "tshark"),
    ("node", "nodejs"),
    ("strace", "strace"),
    ("genhtml", "lcov"),
)
"""Programs that only tests use, Debian's packages with them."""
SYSTEM_PROGRAMS = "/usr/sbin:/sbin"
"""Where some programs are, which not everybody looks for there."""


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


def missing_for_tests() -> "list[str]":
    """Debian's packages that only tests need and that are not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}"
    return [package for program, package in TEST_PACKAGES if shutil.which(program, path=path) is None]


def main() -> int:
    """Say what is missing, for people or (`--packages`) for apt-get; 1 if anything is."""
    lacks = missing()
    if sys.argv[1:] == ["--packages"]:
        sys.stdout.write(" ".join([*(package for package, _ in lacks), *missing_for_tests()]))
        return 0
    for package, what in lacks:
        sys.stderr.write(f"missing: {what}; on Debian: apt install {package}\n")
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
