"""The options several subcommands share, and what they are as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.devices import DeviceWords
from deploy.parser import utf8
from deploy.plan import GdbPlace
from deploy.resolve import MachineOptions
from deploy.snapshotting import add_snapshot_options
from machine.listening import parse_address

if TYPE_CHECKING:
    import argparse

DEFAULT_BOARD = "debian"
DEVICE_OPTIONS: Final = {
    "serial": (
        "BACKEND",
        "stdio, null, pty, file:PATH, tcp:HOST:PORT[,server=on][,wait=off], unix:PATH[,server=on][,wait=off], "
        "udp:HOST:PORT, telnet:HOST:PORT, pipe:PATH, ringbuf, tty:DEVICE, pyserial:URL, mon:stdio, script:PATH; "
        "given again, it is for the next serial line",
    ),
    "nic": (
        "BACKEND",
        "none, user, tap,ifname=I, stream,addr.type=unix,addr.path=P[,server=on], dgram,..., hub,id=N, each with "
        "[,mac=M][,pcap=FILE]; given again, one more card",
    ),
    "input": ("DEVICE", "kbd, mouse or tablet, each with [,script=FILE] or [,evdev=DEVICE]; given again, one more"),
    "usb": (
        "DEVICE",
        "kbd, mouse, storage,file=PATH, serial,BACKEND or usbip,host=H[,port=N],busid=B; given again, the next port",
    ),
    "rng": ("SOURCE", "host or seed=N"),
}
"""Kind of device -> what its option takes, and the help's line."""


QEMU_GDB: Final = "tcp::1234"
MONITORS: Final = {"qmp": "QMP", "monitor": "the monitor's line mode"}
"""Option, the broker's too -> what is spoken there."""


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """BOARD and everything that changes it."""
    parser.add_argument(
        "board", nargs="?", default=DEFAULT_BOARD, metavar="BOARD",
        help=f"a name from deploy/boards/ or a TOML file (default: {DEFAULT_BOARD})",
    )  # fmt: skip
    parser.add_argument("--kernel", metavar="FILE", help="a Linux Image, an ELF or a raw binary")
    parser.add_argument("--initrd", metavar="FILE", help="an initial RAM disk")
    parser.add_argument("--append", metavar="TEXT", type=utf8, help="the kernel's command line")
    parser.add_argument("--memory", metavar="SIZE", help="such as 512M or 2G")
    parser.add_argument("--sleep", choices=("on", "off"), help="whether an idle guest waits in real time")
    add_device_options(parser)
    add_monitor_options(parser)
    add_snapshot_options(parser)
    add_gdb(parser)
    add_no_reboot(parser)


def add_no_reboot(parser: argparse.ArgumentParser) -> None:
    """--no-reboot, -no-reboot."""
    parser.add_argument(
        "--no-reboot", "-no-reboot", action="store_true", help="a restart of the guest's, or a reset, ends the run"
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """--serial, --nic, --input, --usb, --rng."""
    for kind, (metavar, text) in DEVICE_OPTIONS.items():
        parser.add_argument(f"--{kind}", metavar=metavar, type=utf8, action="append", default=[], help=text)


def add_monitor_options(parser: argparse.ArgumentParser) -> None:
    """--qmp, --monitor."""
    for name, language in MONITORS.items():
        parser.add_argument(
            f"--{name}", metavar="ADDRESS", action="append", default=[],
            help=f"speak {language} at unix:PATH or tcp:HOST:PORT, too (docs/monitor.md); may be given again",
        )  # fmt: skip


def monitor_arguments(options: argparse.Namespace) -> tuple[str, ...]:
    """What add_monitor_options() and add_no_reboot() have parsed, as the broker's arguments."""
    paused = ("--paused",) if options.halted and options.gdb is None else ()
    ends = ("--no-reboot",) if getattr(options, "no_reboot", False) else ()
    return (
        *paused,
        *ends,
        *(part for name in MONITORS for word in getattr(options, name) for part in (f"--{name}", word)),
    )


def add_gdb(parser: argparse.ArgumentParser) -> None:
    """--gdb, -s, -S."""
    parser.add_argument("--gdb", metavar="ADDRESS", help="let gdb come to unix:PATH or tcp:HOST:PORT (docs/gdb.md)")
    parser.add_argument(
        "-s", dest="gdb", action="store_const", const=QEMU_GDB, help=f"short for --gdb {QEMU_GDB}, as in QEMU"
    )
    parser.add_argument(
        "-S",
        dest="halted",
        action="store_true",
        help="stand still in front of everything, until the monitor or gdb says cont",
    )


def gdb_place(options: argparse.Namespace) -> GdbPlace | None:
    """What add_gdb() has parsed; UsageError."""
    if options.gdb is None:
        return None
    parse_address(options.gdb, "--gdb")
    return GdbPlace(options.gdb, halted=options.halted)


def device_words(options: argparse.Namespace) -> DeviceWords:
    """What add_device_options() has parsed."""
    return DeviceWords(**{kind: tuple(getattr(options, kind)) for kind in DEVICE_OPTIONS})


def machine_options(options: argparse.Namespace) -> MachineOptions:
    """What add_machine_options() has parsed."""
    return MachineOptions(
        kernel=options.kernel,
        initrd=options.initrd,
        append=options.append,
        memory=options.memory,
        sleep=options.sleep,
        devices=device_words(options),
    )


def add_on_deaths(parser: argparse.ArgumentParser) -> None:
    """--on-death and --on-broker-death."""
    parser.add_argument(
        "--on-death", choices=("rebuild", "end"), default="rebuild",
        help="when a process dies while the guest is recorded: start another and make it what it was, or end",
    )  # fmt: skip
    parser.add_argument(
        "--on-broker-death", choices=("continue", "end"), default="continue",
        help="when the broker dies while the guest is recorded: go on where the recording ends, or end there",
    )  # fmt: skip
