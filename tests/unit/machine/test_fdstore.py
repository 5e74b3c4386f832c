"""Descriptors outlive a process: what was left is found, by whoever comes before the keeper, too."""

from __future__ import annotations

import os
import select
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from machine.fdstore import SUPERVISED, FdStore, FdStoreClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

PATIENCE_MS = 60_000


@contextmanager
def kept(directory: Path, wait_for: threading.Event | None = None) -> Iterator[None]:
    """A store that is served meanwhile, from when `wait_for` says so."""
    over, stop = os.pipe()
    there = threading.Event()

    def serve() -> None:
        if wait_for is not None:
            assert wait_for.wait(PATIENCE_MS / 1000)
        store = FdStore(directory)
        there.set()
        poller = select.poll()
        poller.register(store.fd, select.POLLIN)
        poller.register(over, select.POLLIN)
        while all(descriptor != over for descriptor, _ in poller.poll(PATIENCE_MS)):
            store.serve()
        store.close()

    thread = threading.Thread(target=serve)
    thread.start()
    if wait_for is None:
        assert there.wait(PATIENCE_MS / 1000)
    try:
        yield
    finally:
        os.close(stop)
        thread.join()
        os.close(over)


def leave_and_find(client: FdStoreClient) -> None:
    """A pipe is left, found twice, taken out."""
    ends = os.pipe()
    client.leave("serial0/peer", ends)
    for end in ends:
        os.close(end)
    reading, writing = client.find("serial0/peer")
    os.write(writing, b"x")
    again = client.find("serial0/peer")
    assert os.read(again[0], 1) == b"x"
    client.take_out("serial0/peer")
    assert client.find("serial0/peer") == ()
    for end in (reading, writing, *again):
        os.close(end)
    client.close()


def test_what_was_left_is_found(tmp_path: Path) -> None:
    with kept(tmp_path):
        leave_and_find(FdStoreClient(tmp_path))


def test_who_comes_in_the_place_of_who_kept_is_left_all_that_is_there(tmp_path: Path) -> None:
    client, heir, other = (FdStoreClient(tmp_path) for _ in range(3))
    reading, writing = os.pipe()
    with kept(tmp_path):
        for name in ("listener", "peer", "closed"):
            client.leave(name, (writing,))
        client.take_out("closed")
        # An answer: what was said before has been heard.
        assert not client.find("closed")
        # A successor has what its predecessor left.
        (found,) = heir.find("listener")
    client.take_out("peer")
    with kept(tmp_path):
        heir.leave("peer", (reading,))
        assert not heir.find("closed")
        for name in ("listener", "peer"):
            os.close(other.find(name)[0])
        heir.take_out("listener")
        assert not heir.find("closed")
        assert not other.find("listener")
    for end in (reading, writing, found):
        os.close(end)
    for each in (client, heir, other):
        each.close()


def test_what_is_taken_out_is_closed_at_the_other_end(tmp_path: Path) -> None:
    client = FdStoreClient(tmp_path)
    reading, writing = os.pipe()
    with kept(tmp_path):
        client.leave("peer", (writing,))
        os.close(writing)
        client.take_out("peer")
        assert os.read(reading, 1) == b""
    os.close(reading)
    client.close()


def test_where_nobody_keeps_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUPERVISED, raising=False)
    client = FdStoreClient(tmp_path)
    client.leave("serial0/peer", (0,))
    assert client.find("serial0/peer") == ()


def test_under_supervisor_who_comes_first_waits_for_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = threading.Event()
    tried: list[float] = []

    def selected(*arguments: object) -> object:
        """The first wait: now the keeper comes."""
        tried.append(0.0)
        begin.set()
        return real(*arguments)  # type: ignore[arg-type]

    real = select.select
    monkeypatch.setenv(SUPERVISED, "1")
    monkeypatch.setattr("machine.fdstore.select.select", selected)
    with kept(tmp_path, begin):
        leave_and_find(FdStoreClient(tmp_path))
    assert tried
