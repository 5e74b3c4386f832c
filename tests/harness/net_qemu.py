"""QEMU with the same Debian guest at the other end of a cable."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Final

from deploy.environment import cache_directory
from deploy.guest import find_guest
from tests.harness.net_guest import command_line

if TYPE_CHECKING:
    from types import TracebackType

    from tests.harness.machine import Home

DEADLINE_S: Final = 120.0
POLL_S: Final = 0.05
PROGRAM: Final = "qemu-system-riscv64"


class QemuPeer:
    """A machine that runs commands; `said` is what they have written."""

    def __init__(self, home: Home, netdev: str, *commands: str) -> None:
        guest = find_guest(cache_directory())
        assert guest is not None, "the guest is not built: make guest"
        self._output = home.work / "qemu.out"
        card = "virtio-net-device,netdev=net0,mac=52:54:00:00:00:99"
        argv = [PROGRAM, "-M", "virt", "-m", "256M", "-nographic", "-no-reboot", "-kernel", str(guest.kernel)]
        argv += ["-initrd", str(guest.initrd), "-append", command_line(*commands)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*argv, "-netdev", f"{netdev},id=net0", "-device", card],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> QemuPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def said(self) -> str:
        """Everything so far."""
        return self._output.read_text(errors="replace")

    def until(self, mark: str) -> None:
        """Wait until it has said this."""
        deadline = time.monotonic() + DEADLINE_S
        while mark not in self.said:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(POLL_S)
