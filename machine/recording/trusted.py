"""The messages of a log up to where it can be trusted, for who uses what is good of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from machine.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def trusted(rows: Iterable[T], damage: list[LogError] | None = None) -> Iterator[T]:
    """Hand on what stands for one message each; where the log is damaged that ends, and why is put into `damage`.

    Without `damage`, somebody else has told the user, or will.
    """
    try:
        yield from rows
    except LogError as error:
        if damage is not None:
            damage.append(error)
