"""The card on the user's own network, through passt: addresses, transfers, and their replay without it."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.debian_session import PROMPT, DebianSession
from tests.harness.machine import console
from tests.harness.net import INBOUND, OUTBOUND, passts, read_capture
from tests.harness.net_guest import DHCP, command_line
from tests.harness.net_http import noise, serving

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

MEMORY = ("--memory", "128M")
MB = 1_000_000
PATIENCE_S = 60.0
LARGEST_SHARE = 1.2
"""The log's bytes for each of a frame's: it comes as an input and goes into memory, and is kept once."""


def test_a_download_is_whole_and_replays_without_the_network(home: Home) -> None:
    first, again = home.work / "first.pcapng", home.work / "again.pcapng"
    with serving(noise(10 * MB)) as server:
        fetch = f"wget -q -O /file http://10.0.2.2:{server.port}/file"
        line = command_line(DHCP, fetch, "sha256sum /file", "ip addr show dev eth0")
        recording = home.record(*MEMORY, "--append", line, "--nic", f"user,pcap={first}", "--serial", "null")
        assert server.sha256.encode() in console(recording)
        assert b"inet 10.0.2.15/24" in console(recording)
        home.verify_both_ways(recording)
        done = home.run("replay", recording, "--nic", f"pcap:{again}")
        assert done.exit_code == 0, done.stderr
        assert server.requests == ["/file"]
    assert again.read_bytes() == first.read_bytes()
    packets = read_capture(first)
    assert {packet.direction for packet in packets} == {INBOUND, OUTBOUND}
    carried = sum(len(packet.frame) for packet in packets)
    assert carried > 10 * MB
    assert [packet.icount for packet in packets] == sorted(packet.icount for packet in packets)
    assert packets[-1].icount <= Recording.open(recording).end_icount
    size = sum(file.stat().st_size for file in recording.iterdir())
    assert size <= LARGEST_SHARE * carried


def test_a_port_of_the_host_leads_to_a_server_in_the_guest(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    with DebianSession(home, "--nic", f"user,hostfwd=tcp:127.0.0.1:{port}-:8080") as session:
        session.do(DHCP)
        session.type("head -c 100000 /dev/zero | tr '\\0' x | nc -l -p 8080")
        got = b""
        deadline = time.monotonic() + PATIENCE_S
        while not got:
            # passt takes the call before it knows whether anybody listens in there.
            assert time.monotonic() < deadline
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as caller:
                try:
                    # Who is called speaks second: passt of Debian 12 does not acknowledge otherwise.
                    caller.sendall(b"hello\n")
                    while data := caller.recv(1 << 16):
                        got += data
                except ConnectionError:
                    continue
        assert got == b"x" * 100_000
    home.verify_both_ways(session.recording)


def test_a_transfer_survives_a_plug_that_is_pulled_and_put_back(home: Home) -> None:
    with serving(noise(MB), first=MB // 2) as server, DebianSession(home, "--nic", "user") as session:
        session.do(DHCP)
        session.do(f"wget -q -O /file http://10.0.2.2:{server.port}/file &")
        assert server.sent_first.wait(PATIENCE_S)
        assert session.plug("user,link=off", "nic0") == ""
        assert "0" in session.do("cat /sys/class/net/eth0/carrier")
        server.rest.set()
        assert "NO-CARRIER" in session.do("ip link show dev eth0")
        assert session.plug("user", "nic0") == ""
        assert server.sha256 in session.do("wait; sha256sum /file")
        assert server.requests == ["/file"]
    home.verify_both_ways(session.recording)


def test_a_card_without_a_cable_is_given_one(home: Home) -> None:
    with serving(b"hello") as server, DebianSession(home, "--nic", "none") as session:
        assert "NO-CARRIER" in session.do("ip link set eth0 up; ip link show dev eth0")
        assert "no-such-place" in session.plug("stream,addr.path=/no-such-place/nic", "nic0")
        assert session.plug("user", "nic0") == ""
        assert "hello" in session.do(f"{DHCP}; wget -q -O - http://10.0.2.2:{server.port}/file")
    home.verify_both_ways(session.recording)


def test_passt_that_dies_is_a_cable_that_is_out_for_a_while(home: Home) -> None:
    with serving(b"hello") as server, DebianSession(home, "--nic", "user,net=10.78.5.0/24") as session:
        session.do(DHCP)
        session.do("C=/sys/class/net/eth0/carrier")
        session.type("while [ $(cat $C) = 1 ]; do usleep 10000; done; echo LINK  DOWN")
        session.until(b"echo LINK  DOWN")
        (pid,) = passts("10.78.5.15")
        os.kill(pid, signal.SIGKILL)
        session.until(b"LINK DOWN\r\n")
        session.until(PROMPT)
        session.type("until [ $(cat $C) = 1 ]; do usleep 10000; done; echo LINK  UP")
        session.until(b"LINK UP\r\n")
        session.until(PROMPT)
        assert "hello" in session.do(f"wget -q -O - http://10.78.5.2:{server.port}/file")
    home.verify_both_ways(session.recording)
