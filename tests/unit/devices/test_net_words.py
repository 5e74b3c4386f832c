"""The words for a network card's cable: what is wrong is named, and QEMU's spelling is understood."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from devices.backends import create_backend
from devices.backends.net.cable import CableWord
from devices.backends.net.user import make_plan
from machine.errors import BackendError


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("bridge", "known: none, user"),
        ("none,x=1", "unknown option 'x'"),
        ("none,link=maybe", "neither on nor off"),
        ("none,pcap", "write pcap=FILE, once"),
        ("none,pcap=a,pcap=b", "write pcap=FILE, once"),
        ("pcap:", "a capture needs a path"),
        ("pcap:a,pcap=b", "once"),
        ("stream", "where\\?"),
        ("stream,server=on", "where\\?"),
        ("stream,addr.type=vsock,addr.path=x", "write inet or unix"),
        ("stream,addr.type=inet,addr.path=x", "addr.path is no part of an address of type inet"),
        ("stream,addr.type=inet,addr.host=localhost", "addr.port is missing"),
        ("stream,addr.host=localhost,addr.port=65536", "not a number from 0 to 65535"),
        ("stream,addr.type=unix", "a unix socket needs a path"),
        (f"stream,addr.path=/{'x' * 107}", "a path of 1 to 107 bytes"),
        ("stream,addr.path=x,server=on,reconnect=1", "reconnect is for clients"),
        ("stream,addr.path=x,reconnect=1,reconnect-ms=5", "contradict each other"),
        ("stream,addr.path=x,sever=on", "unknown option 'sever'"),
        ("stream,addr.host=a..b,addr.port=4", "addr.host: 'a..b' cannot be a host's name"),
        ("stream,addr.host=a..b,addr.port=4,server=on", "cannot be a host's name"),
        ("dgram,remote.host=a..b,remote.port=4", "remote.host: 'a..b' cannot be a host's name"),
        (f"dgram,local.host={'a' * 70},local.port=3,remote.port=4", "local.host: '.*' cannot be a host's name"),
        (f"hub,id={'9' * 5000}", "not a number"),
        ("dgram", "to whom\\?"),
        ("dgram,remote.path=x", "local and remote must both be given"),
        ("dgram,local.path=x,remote.port=1", "of one type"),
        ("dgram,local.port=1,remote.port=x", "not a number"),
        ("tap,ifname=sixteencharacters", "1 to 15 bytes"),
        ("tap,script=/etc/qemu-ifup", "no scripts are run: script=no"),
        ("hub,id=x", "not a number"),
        ("hub,path=", "which directory"),
        ("hub,path=a,id=1", "contradict each other"),
        ("user,hostfwd=tcp::22", "write \\[tcp\\|udp\\]:\\[HOST\\]:PORT"),
        ("user,hostfwd=tcp::0-:22", "not a number from 1 to 65535"),
        ("user,hostfwd=tcp:300.0.0.1:80-:22", "300.0.0.1"),
        ("user,hostfwd=tcp::80-10.0.2.16:22", "the guest is 10.0.2.15"),
        ("user,net=10.0.2.0/33", "10.0.2.0/33"),
        ("user,net=10.0.2.0/30", "out of range"),
        ("user,host=10.0.3.1", "must be two addresses of 10.0.2.0/24"),
        ("user,dhcpstart=10.0.2.2", "must be two addresses"),
        ("user,ipv4=off,ipv6=off", "both off"),
        ("user,dns=here", "here"),
    ],
)
def test_a_wrong_word_says_what_would_be_right(word: str, says: str) -> None:
    with pytest.raises(BackendError, match=f"^nic0: .*({says})"):
        create_backend("net", word, "nic0")


def test_capture_and_link_are_not_the_wires() -> None:
    assert CableWord.parse("user,pcap=a,,b.pcapng,dns=1.2.3.4,link=off", "nic0") == CableWord(
        "user,dns=1.2.3.4", "a,b.pcapng", plugged=False
    )
    assert CableWord.parse("pcap:a.pcapng", "nic0") == CableWord("pcap", "a.pcapng")
    assert CableWord.parse("none,link=on", "nic0") == CableWord("none")


def test_the_users_network_is_qemus() -> None:
    plan = make_plan({}, [], "")
    assert (plan.network, plan.gateway, plan.address) == (
        IPv4Network("10.0.2.0/24"),
        IPv4Address("10.0.2.2"),
        IPv4Address("10.0.2.15"),
    )
    assert plan.arguments(routed=True) == [
        *("--quiet", "--mtu", "1500", "--mac-addr", "52:55:0a:00:02:02"),
        *("--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2"),
    ]


def test_ports_and_choices_are_put_into_passts_words() -> None:
    forwards = ["tcp::2222-:22", "udp:127.0.0.1:53-192.168.7.15:5353", "::80-:8080", "tcp:[::1]:443-:443"]
    plan = make_plan({"net": "192.168.7.0/24", "dns": "192.168.7.1", "ipv6": "off"}, forwards, "")
    assert plan.arguments(routed=False) == [
        *("--quiet", "--mtu", "1500", "--mac-addr", "52:55:c0:a8:07:02"),
        *("--address", "192.168.7.15", "--netmask", "24", "--gateway", "192.168.7.2", "--dns", "192.168.7.1"),
        *("--tcp-ports", "2222:22", "--tcp-ports", "80:8080", "--tcp-ports", "::1/443:443"),
        *("--udp-ports", "127.0.0.1/53:5353", "--ipv4-only", "--interface", "lo"),
    ]
