"""The guests that are measured, as command lines of dejavm and of QEMU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from tests.bench.process import dejavm

LINES: Final = 2000
LINE: Final = "0123456789" * 5
CONSOLE: Final = "console=ttyS0 earlycon=sbi"
PRINTING: Final = f"i=0; while [ $i -lt {LINES} ]; do echo {LINE}; i=$((i+1)); done"


@dataclass(frozen=True, slots=True)
class Workload:
    """One guest run, named by what it does."""

    name: str
    append: str


BOOT: Final = Workload("boot", f"{CONSOLE} rdinit=/bin/busybox -- poweroff -f")
COUNTED: Final = 150_000
COUNTING: Final = f"i=0; while [ $i -lt {COUNTED} ]; do i=$((i+1)); done"
PRINT: Final = Workload("print", f"{CONSOLE} dejavm.run={quote(PRINTING, safe='')}")
COUNT: Final = Workload("count", f"{CONSOLE} dejavm.run={quote(COUNTING, safe='')}")


def run_command(mode: str, workload: Workload, output: str) -> list[str]:
    """`dejavm run` or `dejavm record` of a workload, its console in a file."""
    argv = dejavm(mode, "debian", "--append", workload.append, "--serial", "file:console.txt")
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
