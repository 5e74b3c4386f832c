"""The line between a recording's server and the gdb that is there."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import pytest

from cpu_node.gdbstub import server
from cpu_node.gdbstub.session import Session
from tests.unit.cpu_node.test_gdb_session import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

Never = list[socket.socket]
Selected = tuple[list[socket.socket], Never, Never]


@pytest.fixture
def ends() -> Iterator[tuple[server.Line, socket.socket]]:
    """A line, and gdb's end of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.001)  # as long as a gdb may take to read an answer
    line = server.Line()
    line.open(ours, Session(Numbers()))
    with ours, theirs:
        yield line, theirs


def test_a_gdb_may_think_for_longer_than_it_may_take_to_read(
    ends: tuple[server.Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, gdb = ends
    assert line.connection is not None
    with pytest.raises(TimeoutError):
        line.connection.recv(1)  # nothing has come for that long

    really_waits = select.select

    def thinks(reading: list[socket.socket], writing: Never, failing: Never) -> Selected:
        gdb.sendall(b"+")
        return really_waits(reading, writing, failing)

    monkeypatch.setattr(select, "select", thinks)
    assert line.listen()
    assert line.session is not None


def test_a_gdb_that_is_gone_is_noticed(ends: tuple[server.Line, socket.socket]) -> None:
    line, gdb = ends
    gdb.close()
    assert not line.listen()
    assert (line.connection, line.session) == (None, None)
