"""A broker for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.replay_broker.serving import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server; a test that starts a machine ends it."""
    running = Running(tmp_path)
    yield running
    running.close()
