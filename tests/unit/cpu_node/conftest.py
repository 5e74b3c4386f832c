"""Every engine of a test goes with it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_engine_is_left() -> Iterator[None]:
    """An engine is in a cycle with who answers its accesses, and has 60 MB that the collector does not know of."""
    yield
    gc.collect()
