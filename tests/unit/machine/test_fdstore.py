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


def test_what_is_left_behind_the_death_of_who_kept_is_with_its_successor(tmp_path: Path) -> None:
    client = FdStoreClient(tmp_path)
    with kept(tmp_path):
        assert client.find("serial0/listener") == ()
    client.take_out("serial0/listener")
    with kept(tmp_path):
        leave_and_find(client)


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
