"""A copy of guest memory for which the host has no room."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from cpu_node.memory import GuestMemory
from cpu_node.staging import SMALLEST_GRANULE, Staging
from machine.board import RAM_BASE
from machine.errors import NoRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 4 * SMALLEST_GRANULE


@pytest.fixture
def file_limit() -> Iterator[None]:
    """No file, and no memory with a descriptor, may become as large as guest memory."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("file_limit")
def test_a_copy_without_room_is_refused_and_takes_nothing() -> None:
    memory = GuestMemory(SIZE)
    memory.write(RAM_BASE, b"x")
    staging = Staging(memory)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(NoRoom, match="cpu: no room for a copy of memory: File too large"):
        staging.take()
    with open(staging.path, "rb") as copy:
        assert copy.read() == b""
