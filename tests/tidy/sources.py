"""The repository's own files, read once for the tests that look at them as text and as syntax."""

from __future__ import annotations

import ast
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
GENERATED: Final = "machine/wire/"
PACKAGES: Final = ("machine", "cpu_node", "devices", "replay_broker", "deploy")
SKIPPED_FOLDERS: Final = frozenset({"build", "dist", "recordings", "__pycache__"})


@dataclass(frozen=True)
class Source:
    """One file; `name` is its path from the repository's root, with slashes."""

    name: str

    @cached_property
    def text(self) -> str:
        """What is in it."""
        return (ROOT / self.name).read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """A Python file's syntax."""
        return ast.parse(self.text, self.name)

    @property
    def module(self) -> str:
        """A Python file's dotted name."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the tests."""
        return self.name.startswith("tests/")


def tracked_names() -> list[str]:
    """Every file that is, or would be, part of a commit; all but hidden and built ones where there is no git."""
    try:
        command = ["git", "ls-files", "-co", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = _walked()
    return sorted(name for name in listed if (ROOT / name).is_file())


def _walked() -> list[str]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith(".") and ".egg" not in f]
        found += [str((Path(folder) / file).relative_to(ROOT)) for file in files if not file.endswith((".so", ".pyc"))]
    return found


def sources(*suffixes: str) -> list[Source]:
    """The files with one of these endings, generated code left out."""
    return [Source(name) for name in tracked_names() if name.endswith(suffixes) and not name.startswith(GENERATED)]


def python_sources() -> list[Source]:
    """Every Python file that somebody wrote."""
    return sources(".py")
