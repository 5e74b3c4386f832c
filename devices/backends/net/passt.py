"""Starting passt(1), which is a guest's way to the network without privileges, and being its other end.

It is told one connected socket, goes into the background when it has set everything up, and ends when the
socket is closed: nobody has to look for it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from machine.errors import BackendError

PROGRAM: Final = "passt"
READY_S: Final = 10.0
GUEST_MTU: Final = 1500
"""What the guest is told by DHCP; passt's own choice, 65520, is more than a card takes."""
NOISE: Final = ("Failed to send", "Don't run as root")
"""Lines that passt writes when all is well: no system logger, and that it becomes `nobody`."""
LOOPBACK: Final = "lo"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the guest's network looks like; None and () leave the choice to passt."""

    network: IPv4Network
    gateway: IPv4Address
    """Where the guest finds the host's own servers."""
    address: IPv4Address
    """What the guest gets by DHCP."""
    resolver: str = ""
    tcp: tuple[str, ...] = ()
    """Ports of the host that lead to the guest, in passt's words."""
    udp: tuple[str, ...] = ()
    ipv4: bool = True
    ipv6: bool = True

    def arguments(self, *, routed: bool) -> list[str]:
        """passt's command line behind its name; `routed` says whether this host has a way to others."""
        mac = "52:55:" + self.gateway.packed.hex(":")
        words = ["--quiet", "--mtu", str(GUEST_MTU), "--mac-addr", mac]
        if self.ipv4:
            words += ["--address", str(self.address), "--netmask", str(self.network.prefixlen)]
            words += ["--gateway", str(self.gateway)]
        if self.resolver:
            words += ["--dns", self.resolver]
        for option, ports in (("--tcp-ports", self.tcp), ("--udp-ports", self.udp)):
            for port in ports:
                words += [option, port]
        if not self.ipv6:
            words.append("--ipv4-only")
        elif not self.ipv4:
            words.append("--ipv6-only")
        if not routed:
            # Alone with itself the host still has servers for the guest to reach.
            words += ["--interface", LOOPBACK]
        return words


def start_passt(plan: Plan) -> socket.socket:
    """Start passt; our end of its socket when it is ready.  May wait READY_S.  BackendError says why it is not."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise BackendError(f"there is no {PROGRAM} on this host; on Debian: apt install {PROGRAM}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs, open(os.memfd_create(PROGRAM), "r+b") as said:
        command = [program, "--fd", str(theirs.fileno()), *plan.arguments(routed=_is_routed())]
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(theirs.fileno(),),
                timeout=READY_S,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            ours.close()
            raise BackendError(f"{PROGRAM} does not start: {error}") from error
        if code != 0:
            ours.close()
            said.seek(0)
            raise BackendError(f"{PROGRAM} does not start: {_reason(said.read().decode(errors='replace'))}")
    return ours


def _is_routed() -> bool:
    """Whether there is a default route of either family."""
    ipv4 = any(row[1:2] == ["00000000"] for row in _rows(Path("/proc/net/route")))
    ipv6 = any(row[:2] == ["0" * 32, "00"] and row[-1] != LOOPBACK for row in _rows(Path("/proc/net/ipv6_route")))
    return ipv4 or ipv6


def _rows(table: Path) -> list[list[str]]:
    """A routing table of the kernel's (proc(5)); without one, no rows."""
    try:
        return [line.split() for line in table.read_text().splitlines()]
    except OSError:
        return []


def _reason(text: str) -> str:
    """The last line that is about something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(NOISE)]
    return lines[-1] if lines else "it does not say why"
