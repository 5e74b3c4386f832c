"""The one place of the command that reads the environment."""

import os
import tempfile
from pathlib import Path
from typing import Final

from machine.leaving import LAUNCHER

RUN_DIRECTORY: Final = "DEJAVM_RUN_DIRECTORY"
"""What names the running machine's directory to its processes, and to whoever looks for them."""
HIGHEST_BASE: Final = 60
"""Characters of a runtime directory's path; a Unix socket's whole path must stay below 108."""


def cache_directory() -> Path:
    """Where built guests are kept: $DEJAVM_CACHE or ~/.cache/dejavm."""
    given = os.environ.get("DEJAVM_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "dejavm"


def runtime_directory() -> Path:
    """Where the directory of a running machine is made: short, and the user's own if the host has such."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and len(given) <= HIGHEST_BASE and os.access(given, os.W_OK | os.X_OK):
        return Path(given)
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) <= HIGHEST_BASE else "/tmp")  # noqa: S108  # a private directory is made in it


def node_environment(directory: Path) -> dict[str, str]:
    """The environment of the machine's processes: ours, with our own packages before any others; they end behind us.

    `directory` is the running machine's, where backends keep what only its processes share.
    """
    return {**service_environment(directory), LAUNCHER: str(os.getpid())}


def service_environment(directory: Path) -> dict[str, str]:
    """The same of those that we leave to themselves."""
    ours = {name: value for name, value in os.environ.items() if name != LAUNCHER}
    return {**ours, "PYTHONPATH": import_path(), RUN_DIRECTORY: str(directory)}


def import_path() -> str:
    """PYTHONPATH of the machine's processes: our own packages before any others."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
