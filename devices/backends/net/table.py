"""The backends of network cards by their first word, QEMU's for -netdev."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CAPTURE, CableWord
from devices.backends.net.dgram import create_dgram
from devices.backends.net.hub import create_hub
from devices.backends.net.stream import create_stream
from devices.backends.net.tap import create_tap
from devices.backends.net.user import create_user
from devices.backends.net.wire import Wire
from devices.backends.words import parse_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devices.backends import Factory
    from devices.model import Backend


def create_none(argument: str, name: str) -> Backend:
    """`none`: no cable; the link is down."""
    word = CableWord.of("none", argument, name)
    parse_options(word.options, (), f"{name}: backend {word.wire}")
    return NetBackend(name, word, Wire(up=False))


def create_capture(argument: str, name: str) -> Backend:
    """`pcap:FILE`: a cable that leads nowhere, and a capture of what is sent into it."""
    word = CableWord.parse(f"{CAPTURE}:{argument}", name)
    parse_options(word.options, (), f"{name}: backend {word.wire}")
    return NetBackend(name, word, Wire(up=True))


FACTORIES: Final[Mapping[str, Factory]] = {
    "none": create_none,
    "user": create_user,
    "stream": create_stream,
    "dgram": create_dgram,
    "tap": create_tap,
    "hub": create_hub,
    CAPTURE: create_capture,
}

SYNTAX: Final = (
    "none, user[,hostfwd=tcp|udp:[HOST]:PORT-:PORT], stream,addr.type=unix,addr.path=PATH[,server=on], "
    "stream,addr.type=inet,addr.host=HOST,addr.port=PORT[,server=on], dgram,local...,remote..., tap,ifname=NAME, "
    "hub,id=N, pcap:FILE; each with [,pcap=FILE][,link=off]"
)
"""What an error lists."""
