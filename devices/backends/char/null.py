"""Nobody at the other end: output is taken and forgotten, nothing ever comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.backends.char.base import CharBackend, refuse_argument

if TYPE_CHECKING:
    from devices.model import Backend, Submit


class NullBackend(CharBackend):
    """Nobody: whoever goes on has lost nothing."""

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """As before."""
        self.open(submit)
        return True


def create_null(argument: str, name: str) -> Backend:
    """`null`."""
    refuse_argument("null", argument, name)
    return NullBackend(name)
