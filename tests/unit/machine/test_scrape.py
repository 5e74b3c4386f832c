"""Metrics over HTTP from a loop that never waits, and the port that attends to it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from machine.attended import AttendedPort
from machine.codec import encode, encode_header, type_of
from machine.errors import BackendError
from machine.frame import Frame
from machine.icount import BROKER
from machine.message import Kick, Sync
from machine.meter import ONE, Meter
from machine.scrape import LONGEST_REQUEST, MOST_CLIENTS, ScrapeServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: me\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ScrapeServer]:
    """A server whose page is large enough to need several writes."""
    server = ScrapeServer(0, lambda: b"x" * 4_000_000)
    yield server
    server.close()


def connect(server: ScrapeServer) -> socket.socket:
    """A client."""
    host, _, port = server.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def fetch(server: ScrapeServer, request: bytes) -> bytes:
    """What a client gets, while the server is served whenever it is ready."""
    heard: list[bytes] = []

    def read(client: socket.socket) -> None:
        while data := client.recv(1 << 16):
            heard.append(data)

    with connect(server) as client:
        client.sendall(request)
        reader = threading.Thread(target=read, args=(client,))
        reader.start()
        while reader.is_alive():
            server.serve()
            reader.join(0.001)
    return b"".join(heard)


def test_a_scrape_gets_the_whole_page(server: ScrapeServer) -> None:
    head, _, body = fetch(server, REQUEST).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert body == b"x" * 4_000_000


@pytest.mark.parametrize(
    "request_", [b"POST /metrics HTTP/1.1\r\n\r\n", b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"\r\n\r\n"]
)
def test_anything_else_is_not_found(server: ScrapeServer, request_: bytes) -> None:
    assert fetch(server, request_).startswith(b"HTTP/1.1 404 ")


def test_who_says_too_much_is_hung_up_on(server: ScrapeServer) -> None:
    with connect(server) as client:
        client.sendall(b"x" * (LONGEST_REQUEST + 1))
        while True:
            server.serve()
            client.settimeout(0.01)
            try:
                assert client.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionResetError:
                pass
            return


def test_those_who_only_connect_are_bounded(server: ScrapeServer) -> None:
    clients = []
    for _ in range(3 * MOST_CLIENTS):
        clients.append(connect(server))
        server.serve()
    assert len(server._clients) == MOST_CLIENTS
    assert fetch(server, REQUEST).startswith(b"HTTP/1.1 200 ")
    for client in clients:
        client.close()


def test_a_port_that_is_taken_is_named(server: ScrapeServer) -> None:
    port = int(server.address.partition(":")[2])
    with pytest.raises(BackendError, match=f"metrics: cannot listen at 127.0.0.1:{port}"):
        ScrapeServer(port, bytes)


def test_prometheus_reads_what_a_meter_writes() -> None:
    meter = Meter("nic0")
    meter.counter("messages", "by type", ("type",), lambda: {("done",): 7})
    meter.gauge("mips", "speed", (), lambda: {ONE: 1.5})
    families = {family.name: family for family in text_string_to_metric_families(meter.render().decode())}
    (messages,) = families["dejavm_messages"].samples
    assert (messages.labels, messages.value) == ({"node": "nic0", "type": "done"}, 7)
    assert families["dejavm_mips"].samples[0].value == 1.5


def test_a_node_that_waits_for_its_broker_still_serves(tmp_path: Path) -> None:
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    endpoint = f"ipc://{tmp_path}/b"
    router.bind(endpoint)
    meter = Meter("cpu")
    server = ScrapeServer(0, meter.render)
    port = AttendedPort(endpoint)
    port.attend(server.descriptor, server.serve)
    meter.counter("messages", "by type", ("direction", "type"), port.traffic.messages)
    port.send(Sync(), BROKER, 0)
    identity = router.recv_multipart()[0]
    pages: list[bytes] = []

    def scrape_then_answer() -> None:
        with connect(server) as client:
            client.sendall(REQUEST)
            while data := client.recv(1 << 16):
                pages.append(data)
        kick = Frame(type_of(Kick), BROKER, 1, 0, encode(Kick()))
        router.send_multipart([identity, encode_header(kick), kick.payload])

    other = threading.Thread(target=scrape_then_answer)
    other.start()
    frame = port.receive()
    other.join()
    assert frame is not None
    assert frame.type == type_of(Kick)
    assert b'dejavm_messages_total{direction="sent",node="cpu",type="sync"} 1.0' in b"".join(pages)
    assert port.receive(0.01) is None
    port.close(0)
    server.close()
    router.close(0)
    context.term()
