"""What a network cable is: where frames go and come from, without a word about the card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.model import Estate

    Link = Callable[[bool], None]

READ_FRAMES: Final = 64
"""Frames that are read at one wake-up where each costs a system call."""


class Wire:
    """A cable that leads nowhere: its link has one state, frames are taken and forgotten.

    A wire never waits and raises nothing but BackendError out of open().
    """

    def __init__(self, *, up: bool = True) -> None:
        self._up = up
        self._tell_link: Link = _nobody
        self._tell_writable: Callable[[], None] = _silent
        self._estate: Estate | None = None

    def open(self, link: Link, writable: Callable[[], None]) -> None:
        """Take hold of the host's side; BackendError names what cannot be had.

        `link(up)` is called whenever the other side has come or gone; before the first call it is not there.
        `writable()` is called after send() has not taken everything, when it takes more.
        """
        self._tell_link, self._tell_writable = link, writable
        self.plug()

    def keep(self, estate: Estate) -> None:
        """Called before open() where a successor may come."""
        self._estate = estate

    def resume(self, link: Link, writable: Callable[[], None], *, owes: bool) -> bool:
        """Go on where a predecessor has left off; False if what it held is lost and open() must be called."""
        self._tell_link, self._tell_writable = link, writable
        return self.reconnect(owes=owes)

    def reconnect(self, *, owes: bool) -> bool:
        """The rest of resume(): where nothing is held plugging in again is not seen."""
        self.plug()
        return True

    def taken(self, frames: Sequence[bytes]) -> None:
        """Frames that ready() has returned, in their order, are safe: a successor need not find them."""

    def plug(self) -> None:
        """The rest of open()."""
        self._tell_link(self._up)

    def close(self) -> None:
        """Give everything back; safe to call twice and without open()."""

    def descriptors(self, *, reads: bool) -> Sequence[tuple[int, bool, bool]]:
        """(descriptor, wants to read, wants to write) to wait for; frames are wanted if `reads`."""
        return ()

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """A descriptor has become ready: frames that have come, few enough to be held by the caller."""
        return []

    def send(self, frames: Sequence[bytes]) -> int:
        """Send frames; how many were taken.  Fewer than all is a promise to call writable()."""
        return len(frames)


def _nobody(_up: bool) -> None:
    raise AssertionError("a wire spoke before it was opened")


def _silent() -> None:
    raise AssertionError("a wire spoke before it was opened")
