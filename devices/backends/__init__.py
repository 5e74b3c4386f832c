"""Every kind of backend, in one table; each kind has its own table of words, imported when it is needed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Final

from devices.backends.base import BackendBase, NoBackend
from devices.backends.words import check_word
from devices.model import Backend
from machine.errors import BackendError

Factory = Callable[[str, str], Backend]
"""factory(argument, name): the argument is what follows the first word, the name is the device's, for messages."""

KINDS: Final[Mapping[str, str]] = {
    "char": "devices.backends.char.table",
    "net": "devices.backends.net.table",
    "input": "devices.backends.input.table",
    "usb": "devices.backends.usb.table",
}
"""Kind of device -> module with FACTORIES, first word -> Factory, and SYNTAX, what an error lists.

Where words are more than that the module has a `create(word, name)` of its own.
"""

NO_BACKEND: Final = "none"
OUTSIDE: Final = "module:"
"""`module:PACKAGE.MODULE:NAME[,ARGUMENT]`: a Factory that is found there, for a device of any kind."""


def create_backend(kind: str, word: str, name: str) -> Backend:
    """The backend a slot's word asks for, not opened yet; "" asks for one that does nothing.

    A word is `first`, `first:argument` or, as QEMU writes lists of options, `first,argument`.  A device of kind
    `none` has no backend and its word is somebody else's.  BackendError names device and word.
    """
    if kind == NO_BACKEND:
        return NoBackend(name)
    if not word:
        return BackendBase(name)
    check_word(word, name)
    if word.startswith(OUTSIDE):
        return _from_outside(word, name)
    table = importlib.import_module(KINDS[kind])
    if hasattr(table, "create"):
        backend: Backend = table.create(word, name)
        return backend
    factories: Mapping[str, Factory] = table.FACTORIES
    first, _, argument = _FIRST.fullmatch(word).groups()  # type: ignore[union-attr]  # it matches everything
    factory = factories.get(first)
    if factory is None:
        raise BackendError(f"{name}: unknown backend {word!r} (known: {table.SYNTAX})")
    return factory(argument, name)


def _from_outside(word: str, name: str) -> Backend:
    where, _, argument = word.removeprefix(OUTSIDE).partition(",")
    module, _, factory_name = where.partition(":")
    if not module or not factory_name:
        raise BackendError(f"{name}: backend {word!r} is not module:PACKAGE.MODULE:NAME[,ARGUMENT]")
    try:
        factory: Factory = getattr(importlib.import_module(module), factory_name)
    except Exception as error:  # whatever a stranger's module does where it is imported
        raise BackendError(f"{name}: backend {word!r}: cannot import {where}: {error}") from error
    try:
        return factory(argument, name)
    except BackendError:
        raise
    except Exception as error:  # nor is it known what he does with his words
        raise BackendError(f"{name}: backend {word!r}: {where}: {type(error).__name__}: {error}") from error


_FIRST: Final = re.compile(r"([^:,]*)([:,]?)(.*)", re.DOTALL)
