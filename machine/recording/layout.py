"""A recording's directory: the names in it, and who may read them."""

from __future__ import annotations

from typing import Final

MACHINE_NAME: Final = "machine.toml"
LOG_NAME: Final = "log.mcap"
FILES_NAME: Final = "files"
"""A directory of guest files, each named by its SHA-256; what has been unpacked has one, and what was made of that."""
SNAPSHOTS_NAME: Final = "snapshots"
"""A directory of snapshots; docs/log-format.md says what is in it."""
BASE_LABEL: Final = "base"
"""The label of the snapshot that a branch begins with, or a cut where that had none."""
SUFFIX: Final = ".dejavm"
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
PART_SUFFIX: Final = ".part"
"""Behind a file's name until it is whole."""
