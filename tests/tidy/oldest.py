"""`python -m tests.tidy.oldest`: the lowest versions that `pyproject.toml` allows, as constraints for pip.

With `--installed`: whether exactly these are installed where it runs, so that no test runs with others unseen.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

from tests.tidy.sources import ROOT

LOWEST: Final = ("==", ">=")
"""Operators whose version is the lowest that a range allows."""


def dependencies() -> list[Requirement]:
    """What dejavm needs to run, the optional dependencies of its users among it; not what only its developers need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [lines for extra, lines in project["optional-dependencies"].items() if extra != "dev"]
    return [Requirement(line) for lines in (project["dependencies"], *optional) for line in lines]


def oldest(requirement: Requirement) -> str:
    """The lowest version of a range; ValueError where it has no lower bound."""
    found = [part.version for part in requirement.specifier if part.operator in LOWEST]
    if len(found) != 1:
        raise ValueError(f"pyproject.toml: {requirement}: it needs one lower bound, as in {requirement.name}>=1.2,<2")
    return found[0]


def newer(bounds: dict[str, str]) -> list[str]:
    """A line for each dependency that is installed in another version than its lowest."""
    installed = {name: version(name) for name in bounds}
    return [
        f"{name}: {installed[name]} is installed, not {bound}\n"
        for name, bound in bounds.items()
        if Version(installed[name]) != Version(bound)
    ]


def main() -> int:
    """Print a line for each dependency, or what `--installed` has found; the exit code."""
    try:
        bounds = {requirement.name: oldest(requirement) for requirement in dependencies()}
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if sys.argv[1:] == ["--installed"]:
        found = newer(bounds)
        sys.stderr.writelines(found)
        return 1 if found else 0
    sys.stdout.writelines(f"{name}=={bound}\n" for name, bound in bounds.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())
