"""The launcher's children: waiting for them ends when they have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from deploy.children import Children
from deploy.plan import ProcessPlan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(20)
def test_nobody_waits_for_children_of_which_none_is_left(tmp_path: Path) -> None:
    """The last one has closed its standard error and ended since the launcher looked: nothing would wake it."""
    said: list[str] = []
    children = Children(said.append, tmp_path)
    children.start(ProcessPlan("last", (sys.executable, "-c", "import sys; sys.stderr.write('bye\\n')")))
    child = children.named("last")
    while child.stderr_fd in children._selector.get_map():
        children.wait(1)
    child.process.wait()
    children.wait(3600)
    children.end(0)
    assert said == ["bye"]
