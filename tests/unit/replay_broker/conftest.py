"""A broker for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replay_broker import server as server_module
from tests.unit.replay_broker.serving import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server; a test that starts a machine ends it."""
    running = Running(tmp_path)
    yield running
    # Whoever has not come by now is not going to.
    monkeypatch.setattr(server_module, "LATECOMER_S", 0.05)
    running.close()
