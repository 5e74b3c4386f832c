"""Directories that do not outlive those who use them, however these end.

Theory of operation.  In each there is a file that is locked (flock(2)) as long as a process lives that has it open: the
one that made the directory, and those that it hands the descriptor on to.  Who is killed cannot clear away; so whoever
makes a directory removes those beside it whose file nobody has locked any more.

Lives here: making, finding, filling and removing them.  Never here: what is in them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.host_signals import held_back
from machine.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "dejavm-"
IN_USE: Final = "in-use"


@contextmanager
def scratch(base: Path) -> Iterator[tuple[Path, int]]:
    """A private directory in `base`, which is gone afterwards, and the descriptor that keeps it; MachineError."""
    sweep(base)
    # One that is not marked yet, or half removed, is found by nobody.
    with held_back() as let_come:
        try:
            directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            keeper = _lock(directory)
        except OSError as error:
            raise MachineError(f"{base}: cannot make the machine's directory: {error.strerror}") from error
        try:
            let_come()
            yield directory, keeper
        finally:
            with held_back():
                shutil.rmtree(directory, ignore_errors=True)
                os.close(keeper)


def put_file(path: Path, content: str | bytes) -> Path:
    """A file in such a directory; MachineError names it where the host has no room."""
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise MachineError(f"{path}: cannot write: {error.strerror}") from error
    return path


def sweep(base: Path) -> None:
    """Remove what processes that were killed have left in `base`."""
    for marker in base.glob(f"{PREFIX}*/{IN_USE}"):
        try:
            descriptor = os.open(marker, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            # Another user's, or just gone.
            continue
        try:
            if os.fstat(descriptor).st_uid == os.getuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(marker.parent, ignore_errors=True)
        except OSError:
            # Somebody lives in it.
            continue
        finally:
            os.close(descriptor)


def _lock(directory: Path) -> int:
    """The marker's descriptor; nobody sees the marker before it is locked."""
    making = directory / f"{IN_USE}.part"
    keeper = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(keeper, fcntl.LOCK_EX)
    making.rename(directory / IN_USE)
    return keeper
