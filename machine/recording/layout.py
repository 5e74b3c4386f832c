"""A recording's directory: the names in it, and who may read them."""

from __future__ import annotations

from typing import Final

MACHINE_NAME: Final = "machine.toml"
LOG_NAME: Final = "log.mcap"
SUFFIX: Final = ".dejavm"
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
