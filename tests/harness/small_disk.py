"""A file system that a test can fill: a tmpfs of its own, where net_namespace.run_alone() runs a function APART."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.harness import net_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

APART: Final = (*net_namespace.APART, "--mount")
"""In front of a command line: what it mounts nobody else sees."""
_PIECE: Final = bytes(4096)


class SmallDisk:
    """A tmpfs of so many bytes at a directory."""

    def __init__(self, directory: Path, size: int) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", directory], check=True)
        self._ballast = directory / "ballast"

    def fill(self, but: int = 0) -> None:
        """Leave no page, or so many bytes."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(_PIECE):
                pass
        if but:
            with self._ballast.open("r+b") as file:
                file.truncate(self._ballast.stat().st_size - but)

    def clear(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """It is gone, with all that is on it; the directory is empty."""
        subprocess.run(["umount", "--lazy", self._directory], check=True)


@contextmanager
def small_disk(size: int) -> Iterator[tuple[Path, SmallDisk]]:
    """One at a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="dvt-") as name:
        disk = SmallDisk(Path(name), size)
        try:
            yield Path(name), disk
        finally:
            disk.remove()
