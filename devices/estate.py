"""What a backend leaves to the backend of a successor: words in the journal, descriptors with the fdstore.

A device's backend can be changed while it runs: then two are there for a moment, whose descriptors have the same names.
Each has an estate of its own, and a name belongs to the one that left or found something under it last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from devices.backends.place import run_directory
from machine.fdstore import FdStoreClient
from machine.message import HostEvent

if TYPE_CHECKING:
    from devices.journal import Journal


_LINK: Final = (HostEvent.OPENED, HostEvent.CLOSED)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the estates of one device share."""

    fdstore: FdStoreClient
    owners: dict[str, BackendEstate] = field(default_factory=dict)
    """Whose the descriptors under a name are."""


class BackendEstate:
    """devices/model.py, Estate, of one backend of a device."""

    def __init__(self, journal: Journal, node: str, common: _Common | None = None) -> None:
        self._journal = journal
        self._node = node
        self._common = common if common is not None else _Common(FdStoreClient(run_directory()))
        self._fdstore = self._common.fdstore
        self._owners = self._common.owners

    def another(self) -> BackendEstate:
        """That of a backend which takes this one's place."""
        return BackendEstate(self._journal, self._node, self._common)

    @property
    def last_input(self) -> int:
        """The number of the newest input."""
        return self._journal.last_input

    @property
    def last_link(self) -> HostEvent | None:
        """The newest OPENED or CLOSED."""
        events = [said.event for _, said in self._journal.submitted_after(self._journal.kept().inputs)]
        return next((event for event in reversed(events) if event in _LINK), None)

    def close(self) -> None:
        """Let go of the descriptor store, not of what is in it."""
        self._fdstore.close()

    @property
    def untouched(self) -> bool:
        """Whether nothing has come from the host yet."""
        return not self._journal.base and not self._journal.last_input

    @property
    def output(self) -> int:
        """The number of the output under way."""
        return self._journal.begun

    @property
    def peeked(self) -> int:
        """The backend's own word."""
        return self._journal.peeked

    @peeked.setter
    def peeked(self, number: int) -> None:
        self._journal.peeked = number

    @property
    def stage(self) -> int:
        """The backend's own word."""
        return self._journal.stage

    @stage.setter
    def stage(self, value: int) -> None:
        self._journal.stage = value

    def leave(self, name: str, *descriptors: int) -> None:
        """Have descriptors outlive this process."""
        self._owners[name] = self
        self._fdstore.leave(f"{self._node}/{name}", descriptors)

    def find(self, name: str) -> tuple[int, ...]:
        """Those that a predecessor has left; what another backend of this process has left is not for this one."""
        if self._owners.setdefault(name, self) is not self:
            return ()
        return self._fdstore.find(f"{self._node}/{name}")

    def take_out(self, name: str) -> None:
        """Close what was left."""
        if self._owners.get(name, self) is not self:
            return
        self._owners.pop(name, None)
        self._fdstore.take_out(f"{self._node}/{name}")
