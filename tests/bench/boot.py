"""The guests that are measured, as command lines of dejavm and of QEMU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from deploy.environment import cache_directory
from deploy.guest import recipe
from deploy.guest.apt import package_members
from tests.bench.process import dejavm

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.guest import Guest

LINES: Final = 2000
LINE: Final = "0123456789" * 5
CONSOLE: Final = "console=ttyS0 earlycon=sbi"
PRINTING: Final = f"i=0; while [ $i -lt {LINES} ]; do echo {LINE}; i=$((i+1)); done"


@dataclass(frozen=True, slots=True)
class Workload:
    """One guest run, named by what it does."""

    name: str
    append: str
    initrd: Path | None = None
    """Another one than the guest's."""


BOOT: Final = Workload("boot", f"{CONSOLE} rdinit=/bin/busybox -- poweroff -f")
COUNTED: Final = 150_000
COUNTING: Final = f"i=0; while [ $i -lt {COUNTED} ]; do i=$((i+1)); done"
PRINT: Final = Workload("print", f"{CONSOLE} dejavm.run={quote(PRINTING, safe='')}")
COUNT: Final = Workload("count", f"{CONSOLE} dejavm.run={quote(COUNTING, safe='')}")


def netboot(guest: Guest, directory: Path) -> Workload:
    """The boot with the netboot package's own initrd: 2.2 G instructions, most of them to unpack it."""
    (package,) = (package for package in guest.manifest.packages if package.name == recipe.INSTALLER_PACKAGE)
    found = package_members(cache_directory() / "guest" / "packages" / package.file, (recipe.INSTALLER_INITRD,))
    initrd = directory / "netboot-initrd.gz"
    initrd.write_bytes(found[recipe.INSTALLER_INITRD])
    return Workload("netboot", BOOT.append, initrd)


def run_command(mode: str, workload: Workload, output: str) -> list[str]:
    """`dejavm run` or `dejavm record` of a workload, its console in a file."""
    argv = dejavm(mode, "debian", "--append", workload.append, "--serial", "file:console.txt")
    argv += ["--initrd", str(workload.initrd)] if workload.initrd is not None else []
    return [*argv, "-o", output] if mode == "record" else argv


def replay_command(recording: str, devices: str) -> list[str]:
    """A replay compared with the recording."""
    return dejavm("verify", recording, "--devices", devices)


def qemu_command(workload: Workload, kernel: str, initrd: str, *, record: bool) -> list[str]:
    """QEMU's virt board with the same files and the same memory."""
    icount = ["-icount", "shift=0,rr=record,rrfile=rr.log"] if record else []
    return [
        "qemu-system-riscv64", "-machine", "virt", "-m", "512M", "-display", "none", "-monitor", "none",
        "-net", "none", "-serial", "file:qemu-console.txt", "-kernel", kernel, "-initrd", initrd,
        "-append", workload.append, *icount,
    ]  # fmt: skip
