"""Clients that mean no good, or nothing at all: the monitor stays bounded, and serves the others."""

from __future__ import annotations

import json
import os
import socket
import stat
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import UsageError
from machine.listening import parse_address
from replay_broker.monitor import monitor as monitor_module
from replay_broker.monitor.documents import DEEPEST, LONGEST, Documents, Forgotten, Overlong
from replay_broker.monitor.monitor import ALLOWANCE, AT_ONCE, MOST_CLIENTS, Monitor
from tests.unit.replay_broker.monitor_stage import BOARD, Theatre

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A machine that is being recorded, its CPU running."""
    theatre = Theatre(tmp_path).begin()
    yield theatre
    theatre.close()


def is_served(theatre: Theatre) -> bool:
    """Whether another client is heard."""
    client = theatre.qmp()
    answer = client.execute("query-name")
    client.close()
    return answer == {"return": {"name": "stage"}}


FLOODS = {
    "no newline": b"x" * MEGABYTE,
    "an open object": b'{"a": "' + b"x" * MEGABYTE,
    "open brackets": b"[" * MEGABYTE,
    "zeros": bytes(MEGABYTE),
    "quotes": b'{"' * (MEGABYTE // 2),
    "backslashes": b'{"' + b"\\" * MEGABYTE,
}


@pytest.mark.parametrize("kind", ["qmp", "monitor"])
@pytest.mark.parametrize("name", FLOODS)
def test_megabytes_without_an_end_are_not_kept(theatre: Theatre, kind: str, name: str) -> None:
    client = theatre.client(kind)
    data = FLOODS[name]
    with suppress(ConnectionError, BlockingIOError):
        while data:
            theatre.turn()
            data = data[client.socket.send(data[:LONGEST]) :]
    assert len(data) > MEGABYTE - 8 * LONGEST
    assert client.gone()
    assert is_served(theatre)


def test_a_client_that_never_reads_is_not_listened_to(theatre: Theatre) -> None:
    client = theatre.client()
    request = b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-commands"}' * 1000
    sent = 0
    for _ in range(3000):
        theatre.turn()
        theatre.monitor._allowance = ALLOWANCE  # as if periods went by
        for connection, _ in theatre.monitor._clients.values():
            connection.refill()
        try:
            sent += client.socket.send(request)
        except BlockingIOError:
            continue
    (connection, _) = next(iter(theatre.monitor._clients.values()))
    assert len(connection._unsent) < 2 * LONGEST
    assert sent < 4 * MEGABYTE
    assert is_served(theatre)


def test_a_client_that_never_reads_is_given_up_when_events_pile_up(theatre: Theatre) -> None:
    client = theatre.qmp()
    for _ in range(40_000):
        assert theatre.monitor._machine is not None
        theatre.monitor._machine.hear("STOP", {"pad": "x" * 100})
    theatre.turn()
    assert client.gone()
    assert is_served(theatre)


def test_callers_beyond_the_bound_are_turned_away_and_a_place_that_is_free_is_given(theatre: Theatre) -> None:
    clients = [theatre.client() for _ in range(MOST_CLIENTS)]
    for client in clients:
        client.hear()
    late = theatre.client()
    assert late.gone()
    assert theatre.monitor.turned_away == 1
    clients[0].close()
    theatre.turn()
    assert is_served(theatre)


def test_a_crowd_that_comes_and_goes_leaves_nothing(theatre: Theatre) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        client = theatre.client("qmp" if number % 2 else "monitor")
        # One that comes while others' last words are being dealt with may be turned away.
        with suppress(ConnectionError):
            client.socket.send(b'{"execute":"qmp_capabilities"}\ninfo status\n' * (number % 5))
        theatre.turn()
        client.close()
    for _ in theatre.turns():
        if not theatre.monitor._clients:
            break
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_flood_of_requests_is_done_a_few_at_a_time_and_no_more_than_the_period_allows(theatre: Theatre) -> None:
    clients = [theatre.qmp() for _ in range(6)]
    monitor = theatre.monitor
    monitor._allowance = 20
    monitor._period_ns = 1 << 62  # the period does not end
    for client in clients:
        client.socket.send(b'{"execute":"query-name"}' * 30)
    theatre.turn()
    assert (monitor._allowance, monitor.backlog) == (20 - AT_ONCE, True)
    for _ in range(10):
        theatre.turn()
    assert (monitor._allowance, monitor.backlog) == (0, False)
    monitor._period_ns = 0
    for client in clients:
        assert [client.hear() for _ in range(30)] == [{"return": {"name": "stage"}}] * 30


def test_a_client_that_only_listens_costs_nothing(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    client = theatre.qmp()
    theatre.turn()
    monkeypatch.setattr(theatre.monitor, "_settle", lambda: pytest.fail("looked at for nothing"))
    theatre.monitor._period_ns = 1 << 62
    for _ in range(10):
        theatre.turn()
    monkeypatch.undo()
    client.close()


def test_without_clients_nothing_is_loaded_and_nothing_is_done(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path).begin()
    theatre.turn()
    assert theatre.monitor._machine is None
    theatre.close()


def test_no_descriptor_for_a_caller_is_no_busy_loop(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A listener for which the process has no descriptor left."""

        def __init__(self, listener: socket.socket) -> None:
            self.fileno = listener.fileno
            self.close = listener.close

        def accept(self) -> None:
            """As accept(2) when the process has too many open."""
            raise OSError(24, "Too many open files")

    listeners = theatre.monitor._listeners
    saved = dict(listeners)
    for descriptor, (listener, address, kind) in saved.items():
        listeners[descriptor] = (Full(listener), address, kind)  # type: ignore[assignment]
    client = theatre.client()
    theatre.monitor._period_ns = 1 << 62
    theatre.turn()
    monkeypatch.setattr(monitor_module.Monitor, "_on_ready", lambda *_: pytest.fail("looked at again at once"))
    theatre.turn()
    monkeypatch.undo()
    listeners.update(saved)
    theatre.monitor._period_ns = 0
    # With the next period the listener hears again.
    theatre.monitor.serve(ready=True)
    assert "QMP" in client.hear()


# Cutting the stream.

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)


@given(documents=st.lists(objects, max_size=6), cuts=st.lists(st.integers(0, 200), max_size=8), blanks=st.data())
@settings(deadline=None)
def test_documents_come_out_as_they_went_in_however_they_are_cut(
    documents: list[dict[str, object]], cuts: list[int], blanks: st.DataObject
) -> None:
    stream = b""
    for document in documents:
        indent = blanks.draw(st.sampled_from((None, 1)))
        stream += json.dumps(document, indent=indent, ensure_ascii=blanks.draw(st.booleans())).encode()
        stream += blanks.draw(st.sampled_from((b"", b"\n", b" \r\n\t")))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    cutter, found = Documents(), []
    for start, end in pairwise(places):
        cutter.feed(stream[start:end])
        while (cut := cutter.next()) is not None:
            assert isinstance(cut, bytes)
            found.append(json.loads(cut))
    assert found == documents
    assert cutter.finish() is None


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_noise_is_cut_into_something_and_never_kept_beyond_the_bound(pieces: list[bytes]) -> None:
    cutter = Documents()
    for piece in pieces:
        cutter.feed(piece)
        try:
            while cutter.next() is not None:
                pass
        except Overlong:
            return
        assert len(cutter._bytes) <= LONGEST


def test_a_reset_forgets_what_was_begun() -> None:
    cutter = Documents()
    cutter.feed(b'\xff{"a": "\xff{}')
    assert cutter.next() == Forgotten(lost=False)
    assert cutter.next() == Forgotten(lost=True)
    assert cutter.next() == b"{}"


def test_depth_has_a_bound_and_what_is_within_it_passes() -> None:
    cutter = Documents()
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    cutter.feed(deep + b"[" + deep)
    assert cutter.next() == deep
    with pytest.raises(Overlong, match="100 levels"):
        cutter.next()


# Where it listens.


def test_the_sockets_in_the_machines_directory_are_the_owners_alone_and_go_with_it(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    for name in ("qmp", "monitor"):
        mode = os.stat(tmp_path / name).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    theatre.close()
    assert list(tmp_path.iterdir()) == []


def test_more_addresses_can_be_given_and_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "q"))
    stale.close()
    monitor = Monitor(BOARD, "", None)
    monitor.open([f"unix:{tmp_path}/q,server=on,wait=off", "tcp:127.0.0.1:0"], ["tcp::0", "tcp:[::1]:0"])
    places = sorted(str(address) for _, address, _ in monitor._listeners.values())
    assert places[-1] == f"unix:{tmp_path}/q"
    assert all(place.startswith(("tcp:127.0.0.1:", "tcp:[::1]:")) for place in places[:-1])
    peer = socket.create_connection(
        next(listener.getsockname() for listener, address, _ in monitor._listeners.values() if address.port)[:2]
    )
    peer.close()
    monitor.close()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("unix:", "write unix:PATH or tcp:HOST:PORT"),
        ("pty", "write unix:PATH or tcp:HOST:PORT"),
        ("tcp:1234", "write unix:PATH or tcp:HOST:PORT"),
        ("tcp:localhost:x", "write unix:PATH or tcp:HOST:PORT"),
        ("tcp:localhost:65536", "a port is 0 to 65535"),
        ("tcp:0.0.0.0:4444", "whoever reaches 0.0.0.0 would own the machine"),
        ("unix:/x,server=off", "the monitor is a server that waits for nobody"),
        ("unix:/x,wait=on", "the monitor is a server that waits for nobody"),
        ("unix:/x,frob=on", "unknown option 'frob=on'"),
    ],
)
def test_an_address_that_cannot_be_is_refused_by_name(word: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(word, "--qmp")
    assert str(caught.value).startswith(f"--qmp {word}: ")
    assert told in str(caught.value)


def test_remote_clients_are_let_in_when_that_is_meant() -> None:
    assert str(parse_address("tcp:0.0.0.0:4444,remote=on,nowait", "--qmp")) == "tcp:0.0.0.0:4444"
    assert parse_address("unix:/a,,b", "--qmp").path == "/a,b"


def test_a_place_that_is_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    monitor = Monitor(BOARD, "", None)
    with pytest.raises(UsageError, match="cannot listen: Address already in use"):
        monitor.open([f"unix:{tmp_path}/file"], [])
    assert (tmp_path / "file").read_text() == "mine"
    first = Theatre(tmp_path)
    with pytest.raises(UsageError, match="cannot listen: Address already in use"):
        monitor.open([], [f"unix:{tmp_path}/qmp"])
    first.close()
    monitor.close()
