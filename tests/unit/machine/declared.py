"""Every state that the program declares, and values of each; no test lives here."""

from __future__ import annotations

import importlib
import typing
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Final

from hypothesis import strategies as st

from machine.bounds import Long, Within
from tests.harness.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES: Final = ("machine", "cpu_node", "devices", "replay_broker")
SIZES: Final = 3
"""Rows are about so long where their declaration leaves it open."""


def declared_states() -> list[type]:
    """Every class that is declared in the source as vmstate, by name and version."""
    found: dict[tuple[str, int], type] = {}
    for module in _modules():
        for cls in vars(importlib.import_module(module)).values():
            if isinstance(cls, type) and cls.__module__ == module and "__vmstate__" in vars(cls):
                found[cls.__vmstate__] = cls  # type: ignore[attr-defined]
    return [found[key] for key in sorted(found)]


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if '@vmstate("' in text or '@declare("' in text or '@vmstate.vmstate("' in text:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def states(hint: object) -> st.SearchStrategy[typing.Any]:
    """Values that a type's declaration allows."""
    if typing.get_origin(hint) is Annotated:
        inner, *bounds = typing.get_args(hint)
        return _bounded(inner, bounds[0])
    if typing.get_origin(hint) is tuple:
        return _rows(hint, 0, SIZES)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        return st.builds(hint, **{name: states(inner) for name, inner in hints.items() if not name.startswith("__")})
    plain: dict[object, st.SearchStrategy[typing.Any]] = {
        int: st.integers(),
        bool: st.booleans(),
        bytes: st.binary(max_size=8),
        str: st.text(max_size=8),
    }
    return plain[hint]


def _bounded(inner: object, bound: object) -> st.SearchStrategy[typing.Any]:
    if isinstance(bound, Within):
        return st.integers(bound.least, bound.most)
    assert isinstance(bound, Long)
    most = bound.least + SIZES * bound.unit if bound.most is None else min(bound.most, bound.least + SIZES * bound.unit)
    if inner is bytes:
        return st.integers(bound.least // bound.unit, most // bound.unit).flatmap(
            lambda units: st.binary(min_size=units * bound.unit, max_size=units * bound.unit)
        )
    return _rows(inner, bound.least, most)


def _rows(hint: object, least: int, most: int) -> st.SearchStrategy[typing.Any]:
    arguments = typing.get_args(hint)
    if arguments[-1] is not Ellipsis:
        return st.tuples(*map(states, arguments))
    if least == most and least > SIZES:
        # So many of one kind: alike, or hypothesis has too much to choose.
        return states(arguments[0]).map(lambda one: (one,) * least)
    return st.lists(states(arguments[0]), min_size=least, max_size=most).map(tuple)
