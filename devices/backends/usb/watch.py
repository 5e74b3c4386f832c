"""A watch over one open file: a descriptor that becomes readable when something has happened to it (inotify(7)).

Written here because the packages that wrap inotify start another program to find the C library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Final

IN_ATTRIB: Final = 0x4
"""Among others: the number of names has changed (include/uapi/linux/inotify.h)."""
IN_NONBLOCK: Final = os.O_NONBLOCK
IN_CLOEXEC: Final = os.O_CLOEXEC
EVENTS_BYTES: Final = 4096


class FileWatch:
    """Inotify of one file, by its descriptor.  Where the host has no watches left it never becomes readable."""

    def __init__(self, descriptor: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = int(libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
        """-1 when there is none."""
        if self.fd >= 0 and libc.inotify_add_watch(self.fd, f"/proc/self/fd/{descriptor}".encode(), IN_ATTRIB) < 0:
            self.close()

    def take(self) -> None:
        """Take what has been told, so that it becomes readable anew."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, EVENTS_BYTES):
                pass

    def close(self) -> None:
        """Watch no more.  Safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
