"""The copy of guest memory that a snapshot is made of, where the broker is on another host: told by messages.

Theory of operation.  Nothing is copied here: the CPU stands while its memory travels, part by part, as many at a time
as the link lets be under way.  So a guest stands longer for a snapshot than on one host; what it does is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node.staging import Staging
from machine.parts import PART_BYTES, pack_part

if TYPE_CHECKING:
    from cpu_node.link import Link
    from cpu_node.memory import GuestMemory


class RemoteStaging(Staging):
    """The copy is at the other end of the link."""

    path = ""

    def __init__(self, memory: GuestMemory, link: Link) -> None:
        super().__init__(memory)
        self._link = link

    def _make_room(self, size: int) -> None:
        """The broker does."""

    def _copy(self, start: int, end: int) -> None:
        view = self._memory.view
        for at in range(start, end, PART_BYTES):
            self._link.pages(pack_part(at, view[at : min(end, at + PART_BYTES)]))
