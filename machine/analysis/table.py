"""Analyses by the name they have on the command line; others are MODULE:NAME."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from machine.analysis.base import Analysis
from machine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANALYSES: Final[Mapping[str, str]] = {
    "coverage": "machine.analysis.coverage:Coverage",
    "changes": "machine.analysis.changes:Changes",
    "writes": "machine.analysis.writes:Writes",
}


def make_analysis(name: str, words: Sequence[str]) -> Analysis:
    """The analysis of that name, made with these words; UsageError if there is none or the words are wrong."""
    module, _, attribute = ANALYSES.get(name, name).partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(ANALYSES)
        raise UsageError(f"there is no analysis {name}: {error} (there are: {known}, and MODULE:NAME)") from error
    if not (isinstance(cls, type) and issubclass(cls, Analysis)):
        raise UsageError(f"{name} is no machine.analysis.base.Analysis")
    try:
        return cls(*words)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
