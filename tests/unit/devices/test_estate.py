"""What a backend leaves for a successor is its own, also while another backend takes its place."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devices.backends.char.stream import LISTENER, create_unix
from devices.backends.place import RUN_DIRECTORY
from devices.estate import BackendEstate
from devices.journal import Journal
from machine.errors import BackendError
from tests.unit.machine.test_fdstore import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devices.model import Backend


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A device's journal."""
    with closing(Journal(tmp_path / "journal", new=True)) as found:
        yield found


@pytest.fixture
def estate(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendEstate]:
    """The estate of a device whose descriptors are kept."""
    monkeypatch.setenv(RUN_DIRECTORY, str(tmp_path))
    with kept(tmp_path), closing(BackendEstate(journal, "serial0")) as found:
        yield found


def server_at(path: Path, estate: BackendEstate) -> Backend:
    """A serial line's backend, with an estate."""
    backend = create_unix(f"{path},server=on,wait=off", "serial0")
    backend.keep(estate)
    return backend


def listening_at(journal: Journal) -> list[str]:
    """Where a successor would listen."""
    successor = BackendEstate(journal, "serial0")
    names = []
    for descriptor in successor.find(LISTENER):
        with socket.socket(fileno=descriptor) as listener:
            names.append(Path(listener.getsockname()).name)
    successor.close()
    return names


def test_a_backend_that_has_taken_another_s_place_listens_where_it_was_told_and_so_does_its_successor(
    journal: Journal, estate: BackendEstate, tmp_path: Path
) -> None:
    old, new = (server_at(tmp_path / name, estate.another()) for name in ("old", "new"))
    old.open(lambda *_: None)
    assert listening_at(journal) == ["old"]
    new.open(lambda *_: None)
    assert (tmp_path / "new").is_socket()
    old.close()
    assert listening_at(journal) == ["new"]
    new.close()
    assert listening_at(journal) == []


def test_a_backend_that_cannot_take_another_s_place_leaves_it_what_it_has(
    journal: Journal, estate: BackendEstate, tmp_path: Path
) -> None:
    old, new = (server_at(tmp_path / name, estate.another()) for name in ("old", "missing/new"))
    old.open(lambda *_: None)
    with pytest.raises(BackendError):
        new.open(lambda *_: None)
    new.close()
    assert listening_at(journal) == ["old"]
    old.close()
