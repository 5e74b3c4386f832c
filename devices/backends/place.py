"""Where the running machine keeps what only its own processes share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from machine.errors import BackendError

RUN_DIRECTORY: Final = "DEJAVM_RUN_DIRECTORY"


def run_directory() -> Path:
    """The running machine's private directory (mode 0700); BackendError if the process was started without one."""
    given = os.environ.get(RUN_DIRECTORY)
    if not given:
        raise BackendError(f"{RUN_DIRECTORY} is not set: this backend needs the running machine's directory")
    return Path(given)


def may_be_kept() -> bool:
    """Whether there is such a directory."""
    return bool(os.environ.get(RUN_DIRECTORY))
