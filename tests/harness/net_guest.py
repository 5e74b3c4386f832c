"""What the Debian guest is told to do with its network."""

from __future__ import annotations

from typing import Final

CONSOLE: Final = "console=ttyS0 quiet"
DRAIN: Final = "stty onlcr"
"""Changes nothing, behind all output: what a terminal has not sent is lost when its session ends."""
LONGEST: Final = 1023
"""COMMAND_LINE_SIZE of the riscv kernel, without its final zero."""


def command_line(*commands: str) -> str:
    """The kernel's command line that runs shell commands instead of a shell and then powers off."""
    text = "; ".join([*commands, DRAIN])
    encoded = "".join(c if c.isalnum() or c in "-./:;=_" else f"%{ord(c):02X}" for c in text)
    line = f"{CONSOLE} dejavm.run={encoded}"
    assert len(line) <= LONGEST, f"a command line of {len(line)} bytes"
    return line


def address(ip: str, interface: str = "eth0") -> str:
    """A command that gives an interface an address in a network of 256."""
    return f"ip addr add {ip}/24 dev {interface} && ip link set {interface} up"


DHCP: Final = "udhcpc -i eth0 -n -q >/dev/null 2>&1"
