"""Cables to the host's own network: passt and tap interfaces, real ones."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from devices.backends import create_backend
from devices.backends.net.frames import pack
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop
from tests.harness.net import DEADLINE_S, frames_of, passts, sized, until_frames
from tests.harness.net_namespace import POWERLESS, ip, run_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOM = 1 << 17
GUEST = "52:54:00:12:34:56"
NOBODY = "0.0.0.0"  # noqa: S104  # who has no address yet
BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def passt() -> Iterator[HostLoop]:
    loop = HostLoop(create_backend("net", "user,net=10.77.3.0/24", "nic0"), ROOM).open()
    yield loop
    loop.backend.close()
    until(lambda: not passts("10.77.3.15"))


def until(done: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)


def discover() -> bytes:
    """A guest's first DHCP message."""
    bootp = BOOTP(chaddr=bytes.fromhex(GUEST.replace(":", "")), xid=7, flags=0x8000)
    packet = Ether(src=GUEST, dst=BROADCAST) / IP(src=NOBODY, dst="255.255.255.255") / UDP(sport=68, dport=67) / bootp
    return bytes(packet / DHCP(options=[("message-type", "discover"), "end"]))


def offered(loop: HostLoop) -> tuple[str, dict[str, object]]:
    """The address and options of the last DHCP offer."""
    offer = Ether(frames_of(loop)[-1])
    return offer[BOOTP].yiaddr, dict(option[:2] for option in offer[DHCP].options if isinstance(option, tuple))


def test_passt_gives_a_guest_qemus_addresses(passt: HostLoop) -> None:
    assert passt.kinds() == [HostEvent.OPENED]
    message = pack([discover()])
    assert passt.backend.write(message) == BackendResult(len(message))
    passt.until(lambda: bool(frames_of(passt)))
    address, options = offered(passt)
    assert (address, options["router"], options["subnet_mask"]) == ("10.77.3.15", "10.77.3.2", "255.255.255.0")
    assert options["interface-mtu"] == 1500


def test_passt_that_dies_is_started_again(passt: HostLoop, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        (pid,) = passts("10.77.3.15")
        os.kill(pid, signal.SIGKILL)
        passt.until_kinds(HostEvent.CLOSED, number)
        assert passt.backend.write(pack([discover()])).error == 0
        passt.until_kinds(HostEvent.OPENED, number + 1)
        assert passt.backend.write(pack([discover()])).error == 0
        until_frames(passt, number)
        assert offered(passt)[0] == "10.77.3.15"
    assert caplog.messages == ["nic0: passt is gone: it has hung up"] * 2


def test_passt_ends_with_its_machine(passt: HostLoop) -> None:
    assert len(passts("10.77.3.15")) == 1
    passt.backend.close()
    until(lambda: not passts("10.77.3.15"))


def test_a_port_that_is_taken_is_named_in_passts_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        backend = create_backend("net", f"user,hostfwd=tcp:127.0.0.1:{port}-:80", "nic0")
        with pytest.raises(BackendError, match=rf"^nic0: passt does not start: .*127\.0\.0\.1/{port}:80"):
            HostLoop(backend).open()
        backend.close()


def test_without_passt_its_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"^nic0: there is no passt on this host; on Debian: apt install passt$"):
        HostLoop(create_backend("net", "user", "nic0")).open()


def test_passt_that_waits_for_ever_is_no_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell = shutil.which("sh")
    (tmp_path / "passt").write_text(f"#!{shell}\nexec tail -f /dev/null\n")
    (tmp_path / "passt").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("devices.backends.net.passt.READY_S", 0.2)
    with pytest.raises(BackendError, match=r"^nic0: passt does not start: .*timed out"):
        HostLoop(create_backend("net", "user", "nic0")).open()


def without_a_way_out() -> None:
    """On a host that is alone with itself a guest still gets its address."""
    loop = HostLoop(create_backend("net", "user", "nic0"), ROOM).open()
    loop.backend.write(pack([discover()]))
    loop.until(lambda: bool(frames_of(loop)))
    assert offered(loop)[0] == "10.0.2.15"
    loop.backend.close()


def test_passt_needs_no_network_beyond_the_host() -> None:
    run_alone(without_a_way_out)


def tap_in_a_namespace() -> None:
    """Frames in both directions, an interface that is down, one that is gone, one that is taken."""
    loop = HostLoop(create_backend("net", "tap,ifname=tap7,script=no", "nic0"), ROOM).open()
    assert loop.kinds() == [HostEvent.OPENED]
    assert loop.backend.write(pack([sized(1), b"", sized(2, 10)])).error == 0
    ip("address", "add", "10.9.9.1/24", "dev", "tap7")
    ip("link", "set", "tap7", "up")
    request = Ether(src=GUEST, dst=BROADCAST) / ARP(hwsrc=GUEST, psrc="10.9.9.2", pdst="10.9.9.1")
    assert loop.backend.write(pack([b"short", bytes(request)])).error == 0
    loop.until(lambda: any(ARP in Ether(frame) and Ether(frame)[ARP].op == 2 for frame in frames_of(loop)))
    for interface, says in (("tap7", "Device or resource busy"), ("lo", "there is an interface of that name")):
        with pytest.raises(BackendError, match=f"^nic1: tap {interface}: {says}"):
            HostLoop(create_backend("net", f"tap,ifname={interface}", "nic1")).open()
    ip("link", "delete", "tap7")
    loop.until_kinds(HostEvent.CLOSED)
    assert loop.backend.write(pack([sized(1)])) == BackendResult(66)
    assert loop.backend.descriptors(ROOM) == ()
    loop.backend.close()
    chosen = HostLoop(create_backend("net", "tap", "nic2")).open()
    chosen.backend.close()


def test_a_tap_interface_carries_frames() -> None:
    told = run_alone(tap_in_a_namespace)
    assert "nic0: tap tap7 is gone: File descriptor in bad state" in told
    assert "nic2: tap interface tap0" in told


def tap_without_the_right() -> None:
    """What is said to somebody who may not make interfaces."""
    try:
        HostLoop(create_backend("net", "tap,ifname=tap7", "nic0")).open()
    except BackendError as error:
        print(error)


def test_a_tap_interface_needs_a_right_or_somebody_who_has_it() -> None:
    told = run_alone(tap_without_the_right, POWERLESS)
    assert told.startswith("nic0: tap tap7: this needs CAP_NET_ADMIN, or an interface that was made for you: ip tuntap")
