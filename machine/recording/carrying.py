"""What a recording that is made of another has of it: files that nobody writes into, under a second name.

Lives here: sharing them.  Never here: which snapshots those are (snapshots/adoption.py).
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Final

from machine.errors import LogError
from machine.recording.layout import DIRECTORY_MODE, FILE_MODE, FILES_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.recording.facts import GuestFile

UNLINKABLE: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
"""The file system does not have two names for one file, or not here."""


def carry_files(files: Sequence[GuestFile], source: Path, target: Path) -> None:
    """Give recording `target` those of the guest's files that recording `source` has in it; most have none.

    Where they have been before, whoever unpacks a recording does not have them.  LogError if they cannot be kept.
    """
    try:
        for digest in {file.sha256 for file in files}:
            path = source / FILES_NAME / digest
            if path.is_file():
                (target / FILES_NAME).mkdir(DIRECTORY_MODE, exist_ok=True)
                share(path, target / FILES_NAME / digest)
    except OSError as error:
        raise LogError(f"{target}: cannot keep the guest's files here: {error.strerror}") from error


def share(source: Path, target: Path) -> None:
    """One file under two names, or a copy of it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in UNLINKABLE:
            raise
        shutil.copyfile(source, target)
        target.chmod(FILE_MODE)
