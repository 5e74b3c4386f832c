"""Several hosts on one: network namespaces, and between them a network that a test can spoil.

Each host is a namespace with one Ethernet interface, a TAP device whose other end is here: frames are passed on by a
thread of the test, at once, or late, or not at all; tc's netem would do the same, but not every kernel has it.
TCP over it is the kernel's.  Run inside net_namespace.run_alone().
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.harness.net_namespace import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TUNSETIFF: Final = 0x400454CA
IFF_TAP_NO_PI: Final = 0x0002 | 0x1000
CLONE_NEWNET: Final = 0x40000000
FRAME_BYTES: Final = 65536
NETWORK: Final = "10.77.0"


@dataclass(slots=True)
class Weather:
    """What the network does to a frame."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    parted: bool = False


class Host:
    """One namespace, held open by a process that sleeps."""

    def __init__(self, number: int) -> None:
        self.address = f"{NETWORK}.{number}"
        apart = ("unshare", "--net", "--mount", "cat")
        self._holder = subprocess.Popen(apart, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._await_own_network()
        self.tap = self._open_tap()
        for words in (
            "link set lo up",
            f"addr add {self.address}/24 dev e0",
            f"link set e0 address 02:00:00:00:00:{number:02x} up",
        ):  # fmt: skip
            subprocess.run([*self.inside(), "ip", *words.split()], check=True, env={**os.environ, "PATH": SYSTEM_PATH})

    def inside(self) -> tuple[str, ...]:
        """In front of a command line: it runs on this host."""
        spaces = f"/proc/{self._holder.pid}/ns"
        return ("nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt", "--wd=.", "--")

    def hide(self, directory: Path) -> None:
        """The host does not have what is in a directory of the others'."""
        subprocess.run([*self.inside(), "mount", "-t", "tmpfs", "tmpfs", directory], check=True)

    def close(self) -> None:
        """The host is gone."""
        self._holder.communicate(b"")
        os.close(self.tap)

    def _await_own_network(self) -> None:
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == ours:
            assert self._holder.poll() is None

    def _open_tap(self) -> int:
        """A TAP device made in the host's namespace by a thread that goes there and back."""
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY)
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"e0", IFF_TAP_NO_PI))
        finally:
            assert libc.setns(home, CLONE_NEWNET) == 0
            os.close(home)
            os.close(there)
        return tap


class Network:
    """Hosts on one wire."""

    def __init__(self, names: Sequence[str], seed: int = 1) -> None:
        self.weather = Weather()
        self._chance = random.Random(seed)
        self.hosts = {name: Host(number) for number, name in enumerate(names, 1)}
        self._taps = [host.tap for host in self.hosts.values()]
        self._late: list[tuple[float, int, int, bytes]] = []
        self._order = 0
        self.lost = 0
        self._over, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """All hosts are gone."""
        os.close(self._stop)
        self._thread.join()
        os.close(self._over)
        for host in self.hosts.values():
            host.close()

    def _serve(self) -> None:
        poller = select.poll()
        for tap in (*self._taps, self._over):
            poller.register(tap, select.POLLIN)
        while True:
            wait_ms = None if not self._late else max(0.0, (self._late[0][0] - time.monotonic()) * 1000)
            for descriptor, _ in poller.poll(wait_ms):
                if descriptor == self._over:
                    return
                self._take(descriptor)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, source, frame = heapq.heappop(self._late)
                self._deliver(source, frame)

    def _take(self, source: int) -> None:
        while True:
            try:
                frame = os.read(source, FRAME_BYTES)
            except BlockingIOError:
                return
            weather = self.weather
            if weather.parted or self._chance.random() < weather.loss:
                self.lost += 1
            elif weather.delay_s:
                self._order += 1
                due = time.monotonic() + self._chance.uniform(-1, 1) * weather.jitter_s + weather.delay_s
                heapq.heappush(self._late, (due, self._order, source, frame))
            else:
                self._deliver(source, frame)

    def _deliver(self, source: int, frame: bytes) -> None:
        for tap in self._taps:
            if tap != source:
                try:
                    os.write(tap, frame)
                except (BlockingIOError, OSError):
                    self.lost += 1
