"""Who comes in from another host: those with a key of the machine, each under its own name."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import zmq

from machine import message as m
from machine.codec import encode, encode_header, type_of
from machine.errors import BackendError, RemoteWireError, UsageError
from machine.frame import Frame
from machine.icount import BROKER
from machine.keys import OPERATOR, ClientKeys, KeyRing
from tests.harness.stranger import NO_KEY
from tests.unit.replay_broker.far_serving import Far, far_broker
from tests.unit.replay_broker.serving import NAMES, PATIENCE_S, be_welcomed, begin, fail_on_purpose, hear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    """A broker with keys."""
    with far_broker(tmp_path) as far:
        yield far


def test_each_node_comes_in_with_its_own_key(far: Far) -> None:
    ports = {name: far.node(name) for name in NAMES}
    assert {name: type(hear(port)) for name, port in ports.items()} == dict.fromkeys(NAMES, m.Welcome)
    assert far.status().refused == 0


def test_a_key_is_good_for_its_own_name_only(far: Far) -> None:
    assert hear(far.node("rtc0", "serial0")) == m.Refused("the key is rtc0's, not serial0's")
    assert far.status().refused == 1


def test_a_second_process_with_the_right_key_is_refused_while_the_first_is_there(far: Far) -> None:
    assert isinstance(hear(far.node("cpu")), m.Welcome)
    assert hear(far.node("cpu")) == m.Refused("node cpu is already here, process 1")


def test_whoever_comes_behind_a_connection_that_is_over_is_the_same_node_s_successor(far: Far) -> None:
    first = far.node("cpu")
    assert isinstance(hear(first), m.Welcome)
    far.sever(first)
    ports = {name: far.node(name) for name in NAMES}
    for port in ports.values():
        be_welcomed(port)
    begin(ports)
    far.sever(ports["serial0"])
    assert be_welcomed(far.node("serial0")).rebuild
    assert far.status().refused == 0
    fail_on_purpose(ports["cpu"])


def test_a_key_that_nobody_knows_opens_nothing(far: Far, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = KeyRing(tmp_path / "other")
    other.make("serial0")
    keys = ClientKeys(other.pair("serial0"), far.ring.client("cpu").broker)
    stranger = far.port("serial0", keys=keys)
    stranger.send(m.Hello(m.WIRE_VERSION, "serial0", 1), BROKER, 0)
    with pytest.raises(RemoteWireError, match="does not know this node's key"):
        stranger.receive(PATIENCE_S)
    far.await_refusals(1)


def test_the_operators_key_is_no_node_s_and_a_node_s_no_operator_s(far: Far) -> None:
    for name, endpoint in (("serial0", far.control), (OPERATOR, far.bus)):
        port = far.port(name, endpoint)
        port.send(m.StatusRequest(), BROKER, 0)
        with pytest.raises(RemoteWireError, match="does not know this node's key"):
            port.receive(PATIENCE_S)


def test_without_a_key_nothing_is_heard(far: Far) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.connect(far.bus)
    hello = Frame(type_of(m.Hello), 0, BROKER, 0, encode(m.Hello(m.WIRE_VERSION, "serial0", 1)))
    # Where the connection has been ended by now nothing can be sent, and libzmq would wait for ever.
    with suppress(zmq.Again):
        plain.send_multipart([encode_header(hello), hello.payload], zmq.NOBLOCK)
    assert not plain.poll(300)
    assert "serial0" in far.server._roster.missing()
    plain.close(0)
    context.term()


def test_who_has_no_key_or_does_not_speak_zeromq_is_counted_and_costs_nothing(far: Far) -> None:
    place = ("127.0.0.1", int(far.bus.rpartition(":")[2]))
    for count, said in enumerate((b"\xff" * 64, NO_KEY) * 5, 1):
        with socket.create_connection(place) as raw:
            raw.sendall(said)
            far.await_refusals(count)
    assert isinstance(hear(far.node("cpu")), m.Welcome)


def test_a_node_that_goes_on_over_a_new_connection_ends_the_run(far: Far) -> None:
    assert isinstance(hear(far.node("cpu")), m.Welcome)
    again = far.port("cpu")
    again.send(m.Sync(), BROKER, 12)
    while (status := far.status()).state is m.RunState.STARTING:
        pass
    assert "cpu's connection was lost and made anew" in status.detail


def test_a_node_notices_that_its_connection_was_lost(far: Far) -> None:
    front = socket.create_server(("127.0.0.1", 0))
    port = far.port("cpu", f"tcp://127.0.0.1:{front.getsockname()[1]}")
    inside, _ = front.accept()
    with inside, socket.create_connection(("127.0.0.1", int(far.bus.rpartition(":")[2]))) as outside:
        ends = (
            threading.Thread(target=pump, args=(outside, inside), daemon=True),
            threading.Thread(target=pump, args=(inside, outside), daemon=True),
        )
        for end in ends:
            end.start()
        port.send(m.Hello(m.WIRE_VERSION, "cpu", 1, "memory"), BROKER, 0)
        assert isinstance(hear(port), m.Welcome)
        front.close()
        inside.shutdown(socket.SHUT_RDWR)
        outside.shutdown(socket.SHUT_RDWR)
        with pytest.raises(RemoteWireError, match="connection to the broker was lost"):
            port.receive(PATIENCE_S)
        for end in ends:
            end.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one connection into the other, until one of them ends."""
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass


def test_keys_are_nobody_else_s_to_read_and_are_not_replaced(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.make("broker")
    ring.make("cpu")
    secret = tmp_path / "cpu.private"
    assert secret.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        ring.make("cpu")
    secret.chmod(0o640)
    with pytest.raises(BackendError, match="others may read this secret key"):
        ring.client("cpu")
    secret.chmod(0o600)
    secret.write_text("no key\n")
    with pytest.raises(BackendError, match="is no key"):
        ring.client("cpu")
    with pytest.raises(BackendError, match="cannot read the key"):
        ring.client("nic0")
