"""`python3 -m deploy.prerequisites`: what this host lacks to build `.venv`; runs before there is one.

With `--packages`: Debian's packages with all that is missing, what only tests need among them.  With `--tests`: what
tests need, which root's apt-get installs; what it does not is named.
"""

import importlib.util
import os
import shutil
import subprocess
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
TUN = "/dev/net/tun"
APART = ("unshare", "--user", "--map-root-user", "--net", "true")
"""A network of one's own, as tests make them."""


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


def unusable_for_tests() -> "list[str]":
    """What of the kernel tests need and may not have here, a line each."""
    lines = []
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        remedy = "modprobe tun" if isinstance(error, FileNotFoundError) else f"chmod 666 {TUN}"
        lines.append(f"{TUN}, for the networks of the tests: {error.strerror}; as root: {remedy}")
    try:
        subprocess.run(APART, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except OSError as error:
        lines.append(f"unshare, of Debian's package util-linux: {error.strerror}")
    except subprocess.CalledProcessError as error:
        lines.append(f"namespaces, for the hosts of the tests: {error.stderr.strip()}; see user_namespaces(7)")
    return lines


def provide_for_tests() -> int:
    """Install or name what tests need; 1 if anything is missing then."""
    packages = missing_for_tests()
    if packages and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
            # What has not worked is missing below.
            subprocess.run(("apt-get", "-qq", *words), env=environment, check=False)
        packages = missing_for_tests()
    lines = unusable_for_tests()
    if packages:
        lines.insert(0, f"what tests need; on Debian: apt install {' '.join(packages)}")
    for line in lines:
        sys.stderr.write(f"missing: {line}\n")
    return 1 if lines else 0


def main() -> int:
    """Say what is missing, for people or (`--packages`) for apt-get; 1 if anything is."""
    if sys.argv[1:] == ["--tests"]:
        return provide_for_tests()
    lacks = missing()
    if sys.argv[1:] == ["--packages"]:
        sys.stdout.write(" ".join([*(package for package, _ in lacks), *missing_for_tests()]))
        return 0
    for package, what in lacks:
        sys.stderr.write(f"missing: {what}; on Debian: apt install {package}\n")
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
