"""Writing to a descriptor without waiting: as much as goes, the rest of the story as a BackendResult."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Final

from machine.message import BackendResult

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES: Final = 4096
"""PIPE_BUF on Linux (pipe(7)): a pipe that polls writable takes this much without waiting."""


def write_nonblocking(descriptor: int, data: bytes) -> BackendResult:
    """Write to a descriptor that is O_NONBLOCK or a plain file; never raises."""
    return _write_pieces(descriptor, data, lambda: True)


def write_polled(descriptor: int, data: bytes) -> BackendResult:
    """Write to a descriptor that may be shared and must keep its flags, piece by piece; never raises."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return _write_pieces(descriptor, data, lambda: bool(poller.poll(0)))


def _write_pieces(descriptor: int, data: bytes, may_write: Callable[[], bool]) -> BackendResult:
    done = 0
    try:
        while done < len(data) and may_write():
            done += os.write(descriptor, data[done : done + PIECE_BYTES])
    except BlockingIOError:
        pass
    except OSError as error:
        return BackendResult(done, error.errno or 0)
    return BackendResult(done)
