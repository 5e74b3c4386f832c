"""A USB/IP device of a process that has died: its server is asked again, and may take a while to give it away."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import pytest

from devices.backends import create_backend
from devices.backends.usb import usbip
from devices.usb.messages import Kind
from machine.message import HostEvent
from tests.harness.host_loop import HostLoop
from tests.unit.devices.test_usbip_port import Host, Played, listening

if TYPE_CHECKING:
    import socket

DEVICE_BUSY = 2
"""ST_DEV_BUSY of Linux's tools/usb/usbip/libsrc/usbip_common.h."""
TRIES = 3


class Successor(Host):
    """A controller whose process stands in for one that has died."""

    def __init__(self, word: str) -> None:
        self.backend = create_backend("usb", word, "usb0")
        self.loop = HostLoop(self.backend).resume()
        self.backend.advance(1 << 16)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(usbip, "AGAIN_S", (0.0,) * TRIES)


def called(host: Host, listener: socket.socket) -> Played:
    """The next connection."""
    host.loop.until(lambda: bool(select.select([listener], [], [], 0)[0]))
    return Played(host, listener)


def refuse(host: Host, listener: socket.socket) -> None:
    """Say that the device is in use, and hang up."""
    connection = called(host, listener)
    connection.peer.sendall(connection.server.imported(busid=b"1-1.4", status=DEVICE_BUSY))
    connection.peer.close()


def test_a_server_that_has_not_noticed_the_death_is_asked_again() -> None:
    with listening() as (listener, word):
        host = Successor(word)
        for _ in range(TRIES):
            refuse(host, listener)
        assert HostEvent.OPENED not in host.loop.kinds()
        connection = called(host, listener)
        connection.attach()
        assert [(each.port, each.kind) for each in host.plugged] == [(1, Kind.HOST)]
        # What is lost from now on is a device that is pulled out, as ever.
        unplugged = host.loop.kinds().count(HostEvent.CLOSED)
        connection.peer.close()
        host.loop.until_kinds(HostEvent.CLOSED, unplugged + 1)
        assert host.backend.descriptors(99) == []
        host.backend.close()


def test_a_server_that_never_gives_it_away_leaves_the_port_empty(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as (listener, word):
        host = Successor(word)
        for _ in range(TRIES + 1):
            refuse(host, listener)
        host.loop.until(lambda: "usb0 port 1: not plugged in: USB/IP device 1-1.4 at" in caplog.text)
        assert "it does not give device 1-1.4 away (status 2)" in caplog.text
        assert host.plugged == []
        assert host.backend.descriptors(99) == []
        host.backend.close()


def test_a_server_that_has_gone_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as (listener, word):
        listener.close()
        host = Successor(word)
        # Another word is another device, and nobody asks for the first one any more.
        assert host.backend.take_word("kbd")
        assert [each.kind for each in host.plugged] == [Kind.KEYBOARD]
        assert host.backend.descriptors(99) == []
        again = Successor(word)
        again.loop.until(lambda: "not plugged in: USB/IP device 1-1.4" in caplog.text)
        assert again.plugged == []
        again.backend.close()
        host.backend.close()


def test_a_server_that_never_says_anything_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usbip, "ANSWER_S", 0.01)
    with listening() as (listener, word):
        host = Successor(word)
        silent = []
        for _ in range(TRIES + 1):
            host.loop.until(lambda: bool(select.select([listener], [], [], 0)[0]))
            silent.append(listener.accept()[0])
        host.loop.until(lambda: "not plugged in" in caplog.text)
        assert "USB/IP device 1-1.4 at" in caplog.text
        assert "it has not answered for" in caplog.text
        assert host.backend.descriptors(99) == []
        # Where it is asked for while the machine runs, too.
        caplog.clear()
        assert host.backend.take_word("kbd")
        assert host.backend.take_word(word)
        silent.append(listener.accept()[0])
        host.loop.until(lambda: "it has not answered for" in caplog.text)
        assert host.backend.descriptors(99) == []
        for each in silent:
            each.close()
        host.backend.close()
