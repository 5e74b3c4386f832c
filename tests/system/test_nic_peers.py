"""The card at cables with all kinds of other ends: raw peers, QEMU, hubs, the host's own interface."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import Ether

from tests.harness.debian_session import DebianSession
from tests.harness.machine import console
from tests.harness.net import DEADLINE_S, framed, read_capture
from tests.harness.net_guest import address, command_line
from tests.harness.net_namespace import APART, SYSTEM_PATH
from tests.harness.net_peer import GUEST_IP, GUEST_MAC, PEER_IP, PEER_MAC, answer, echo
from tests.harness.net_qemu import QemuPeer

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

MEMORY = ("--memory", "128M")
UNTIL_REACHED = f"until ping -c 1 -W 1 {PEER_IP} >/dev/null; do :; done"
THREE = "3 packets transmitted, 3 packets received"


def test_frames_of_every_length_meet_a_card_that_lives_on(home: Home) -> None:
    path = home.work / "nic"
    with (
        DebianSession(home, "--nic", f"stream,addr.type=unix,addr.path={path},server=on") as session,
        socket.socket(socket.AF_UNIX) as peer,
    ):
        session.do(address(GUEST_IP))
        peer.settimeout(DEADLINE_S)
        peer.connect(str(path))
        sizes = (60, 1514, 42)
        for number, size in enumerate(sizes):
            for strange in (0, 1, 13, 1519, 9000, 65534, 65536):
                peer.sendall(framed(b"\xff" * strange))
            # A whole frame behind those that are none, in two parts.
            data = framed(echo(number, size))
            peer.sendall(data[:7])
            peer.sendall(data[7:])
            assert answer(peer) == (number, max(size, 42))
        peer.sendall(framed(echo(9, 1514))[:700])
        peer.close()
        session.do("until ip link show dev eth0 | grep -q NO-CARRIER; do usleep 10000; done")
        received = session.do("cat /sys/class/net/eth0/statistics/rx_errors")
        assert received.split()[0] == "0"
    home.verify_both_ways(session.recording)


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_two_machines_ping_each_other_and_one_of_them_is_qemu(home: Home, kind: str) -> None:
    ours, theirs = home.work / "ours", home.work / "theirs"
    if kind == "stream":
        word = f"stream,addr.type=unix,addr.path={ours},server=on"
        netdev = f"stream,server=off,addr.type=unix,addr.path={ours}"
    else:
        word = f"dgram,local.type=unix,local.path={ours},remote.type=unix,remote.path={theirs}"
        netdev = f"dgram,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}"
    with DebianSession(home, "--nic", word) as session:
        session.do(address(GUEST_IP))
        ping = f"until ping -c 1 -W 1 {GUEST_IP} >/dev/null; do :; done; ping -c 3 -s 1472 {GUEST_IP}"
        with QemuPeer(home, netdev, address(PEER_IP), ping, "sleep 10000") as qemu:
            qemu.until(THREE)
            assert THREE in session.do(f"ping -c 3 -s 1472 {PEER_IP}")
    home.verify_both_ways(session.recording)


def test_two_cards_on_a_hub_hear_each_other(home: Home) -> None:
    commands = (
        "unshare -n sleep 1000 & sleep 1; P=$!",
        "ip link set eth1 netns $P",
        f"nsenter -t $P -n ip addr add {PEER_IP}/24 dev eth1",
        "nsenter -t $P -n ip link set eth1 up",
        address(GUEST_IP),
        UNTIL_REACHED,
        f"ping -c 3 -s 1472 {PEER_IP}",
        "nsenter -t $P -n cat /sys/class/net/eth1/address",
    )
    capture = home.work / "eth1.pcapng"
    recording = home.record(
        *MEMORY, "--append", command_line(*commands), "--serial", "null", "--nic", "hub,id=1",
        "--nic", f"hub,id=1,mac={PEER_MAC},pcap={capture}",
    )  # fmt: skip
    assert THREE.encode() in console(recording)
    pings = [frame for packet in read_capture(capture) if ICMP in (frame := Ether(packet.frame))]
    assert {(frame.src, frame.dst) for frame in pings} == {(GUEST_MAC, PEER_MAC), (PEER_MAC, GUEST_MAC)}
    home.verify_both_ways(recording)


def test_two_recorded_machines_on_one_hub_replay_each_for_itself(home: Home) -> None:
    hub = home.work / "hub"
    with DebianSession(home, "--nic", f"hub,path={hub},mac={PEER_MAC}", name="other") as other:
        other.do(address(PEER_IP))
        with DebianSession(home, "--nic", f"hub,path={hub}") as session:
            session.do(address(GUEST_IP))
            assert THREE in session.do(f"{UNTIL_REACHED}; ping -c 3 -s 1472 {PEER_IP}")
            assert THREE in other.do(f"ping -c 3 -s 1472 {GUEST_IP}")
    home.verify_both_ways(session.recording)
    home.verify_both_ways(other.recording)


def test_a_tap_interface_leads_to_the_host(home: Home) -> None:
    recording = home.work / "a.dejavm"
    line = command_line(address(GUEST_IP), UNTIL_REACHED, f"ping -c 3 -s 1472 {PEER_IP}")
    machine = home.argv("record", *MEMORY, "--append", line, "--serial", "null", "--nic", "tap,ifname=tap0,script=no",
                        "-o", recording)  # fmt: skip
    prepare = f"ip tuntap add dev tap0 mode tap && ip addr add {PEER_IP}/24 dev tap0 && ip link set tap0 up"
    shell = ["sh", "-c", f'{prepare} && exec "$@"', sys.executable, *machine]
    done = home.start_argv([*APART, *shell], {"PATH": SYSTEM_PATH}).finish()
    assert done.exit_code == 0, done.stderr
    assert THREE.encode() in console(recording)
    home.verify_both_ways(recording)
