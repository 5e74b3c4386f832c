"""The one place of the command that reads the environment."""

import os
import sys
from pathlib import Path
from typing import Final

from machine.errors import UsageError
from machine.leaving import LAUNCHER

RUN_DIRECTORY: Final = "DEJAVM_RUN_DIRECTORY"
"""What names the running machine's directory to its processes, and to whoever looks for them."""
HIGHEST_BASE: Final = 60
"""Bytes of a runtime directory's path; a Unix socket's whole path must stay below 108."""
UNFIT: Final = frozenset("\n\r,:%'\"")
"""What ends a path in an address of ours or of gdb's, or in supervisor's configuration."""

DIAGNOSTICS: Final = "DEJAVM_DIAGNOSTICS"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def speak_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale has another encoding, and have our processes do so.

    What a recording says, files' names among it, must be the same wherever it is read.  Returns where it speaks UTF-8.
    """
    again = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    if sys.getfilesystemencoding() != "utf-8" and sys.orig_argv[1:3] != again[1:3]:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, again)  # noqa: S606  # the same program, no shell


def check_environment() -> None:
    """UsageError where our processes would not run: said once, and before anything is started."""
    if not __debug__:
        raise UsageError("python -O and PYTHONOPTIMIZE take away the assertions that guard a recording: run it without")
    level = os.environ.get(DIAGNOSTICS) or LEVELS[0]
    if level.upper() not in LEVELS:
        raise UsageError(f"{DIAGNOSTICS}={level}: take one of {', '.join(LEVELS)}")


def cache_directory() -> Path:
    """Where built guests are kept: $DEJAVM_CACHE or ~/.cache/dejavm; with the ~ where nobody knows what that is."""
    given = os.environ.get("DEJAVM_CACHE")
    return Path(given or os.path.join(os.path.expanduser("~"), ".cache", "dejavm"))


def runtime_directory() -> Path:
    """Where the directory of a running machine is made: short, and the user's own if the host has such."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    # A relative one is not valid (XDG Base Directory Specification 0.8).
    if os.path.isabs(given) and _names_sockets(given) and os.access(given, os.W_OK | os.X_OK):
        return Path(given)
    # Imported here: most commands make no such directory, and it takes as long to import as all of this package.
    import tempfile  # noqa: PLC0415

    temporary = tempfile.gettempdir()
    return Path(temporary if _names_sockets(temporary) else "/tmp")  # noqa: S108  # a private directory is made in it


def _names_sockets(base: str) -> bool:
    """Whether sockets in that directory can be spoken of: ZeroMQ takes UTF-8 only, and the kernel no long name."""
    try:
        return len(base.encode()) <= HIGHEST_BASE and UNFIT.isdisjoint(base)
    except UnicodeEncodeError:
        return False


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
