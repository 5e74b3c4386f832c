"""How many messages of which type went by, for whoever asked for metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from machine.codec import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class Traffic:
    """Messages and payload bytes by type, in each direction."""

    def __init__(self) -> None:
        self._messages: Counter[tuple[str, int]] = Counter()
        self._bytes: Counter[tuple[str, int]] = Counter()

    def sent(self, message_type: int, size: int) -> None:
        """One message has been sent."""
        self._messages["sent", message_type] += 1
        self._bytes["sent", message_type] += size

    def received(self, message_type: int, size: int) -> None:
        """One message has come."""
        self._messages["received", message_type] += 1
        self._bytes["received", message_type] += size

    def messages(self) -> Mapping[tuple[str, ...], int]:
        """How many, by direction and type."""
        return {(way, name_of(number)): count for (way, number), count in self._messages.items()}

    def bytes(self) -> Mapping[tuple[str, ...], int]:
        """How many payload bytes, by direction and type."""
        return {(way, name_of(number)): count for (way, number), count in self._bytes.items()}
