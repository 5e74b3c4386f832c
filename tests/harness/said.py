"""What is said to the user, gathered by a test that has no fixtures."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Said(logging.Handler):
    """The diagnostics so far."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember."""
        self.lines.append(record.getMessage())


@contextmanager
def listening() -> Iterator[list[str]]:
    """The lines of diagnostics that come meanwhile."""
    said, log = Said(), logging.getLogger("dejavm")
    log.addHandler(said)
    try:
        yield said.lines
    finally:
        log.removeHandler(said)
