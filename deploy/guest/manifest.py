"""The manifest of a built guest: what it consists of, made from what, each with its hash.

Lives here: the record, its TOML form, and the comparison of a directory with it.
Never here: building or fetching.
"""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MANIFEST_NAME: Final = "manifest.toml"
BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of the guest."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A Debian package the guest is made from; `file` is its name in the package cache."""

    name: str
    version: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is known about a built guest."""

    recipe: int
    recipe_sha256: str
    kernel_release: str
    modules: tuple[str, ...]
    modules_built_in: tuple[str, ...]
    modules_missing: tuple[str, ...]
    files: tuple[FileRecord, ...]
    packages: tuple[PackageRecord, ...]


class ManifestDamaged(Exception):
    """The text is not a manifest; the guest it came with must be built again."""


def render(manifest: Manifest) -> str:
    """Write a manifest as TOML."""
    lines = [
        f"recipe = {manifest.recipe}",
        f"recipe_sha256 = {_quoted(manifest.recipe_sha256)}",
        f"kernel_release = {_quoted(manifest.kernel_release)}",
        f"modules = {_listed(manifest.modules)}",
        f"modules_built_in = {_listed(manifest.modules_built_in)}",
        f"modules_missing = {_listed(manifest.modules_missing)}",
    ]
    for file in manifest.files:
        lines += [
            "",
            "[[file]]",
            f"name = {_quoted(file.name)}",
            f"size = {file.size}",
            f"sha256 = {_quoted(file.sha256)}",
        ]
    return "\n".join(lines) + "\n" + render_packages(manifest.packages)


def render_packages(packages: Iterable[PackageRecord]) -> str:
    """Write the package part of a manifest, which is also the index of the package cache."""
    return "".join(
        "\n[[package]]\n"
        f"name = {_quoted(package.name)}\n"
        f"version = {_quoted(package.version)}\n"
        f"file = {_quoted(package.file)}\n"
        f"size = {package.size}\n"
        f"sha256 = {_quoted(package.sha256)}\n"
        for package in packages
    )


def parse(text: str) -> Manifest:
    """Read a manifest; anything else is ManifestDamaged."""
    try:
        table = tomllib.loads(text)
        return Manifest(
            recipe=table["recipe"],
            recipe_sha256=table["recipe_sha256"],
            kernel_release=table["kernel_release"],
            modules=tuple(table["modules"]),
            modules_built_in=tuple(table["modules_built_in"]),
            modules_missing=tuple(table["modules_missing"]),
            files=tuple(FileRecord(**each) for each in table["file"]),
            packages=tuple(PackageRecord(**each) for each in table["package"]),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ManifestDamaged(str(error)) from error


def parse_packages(text: str) -> tuple[PackageRecord, ...]:
    """Read the index of the package cache; anything else is ManifestDamaged."""
    try:
        return tuple(PackageRecord(**each) for each in tomllib.loads(text).get("package", ()))
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise ManifestDamaged(str(error)) from error


def record_file(path: Path) -> FileRecord:
    """Measure a file."""
    return FileRecord(path.name, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """Hash a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def wrong_size(directory: Path, files: Iterable[FileRecord]) -> list[str]:
    """Name the files that are missing or have another size: the quick comparison."""
    return [
        file.name
        for file in files
        if not (directory / file.name).is_file() or (directory / file.name).stat().st_size != file.size
    ]


def damaged(directory: Path, files: Iterable[FileRecord]) -> list[str]:
    """Name the files that are not what the manifest says, byte for byte."""
    files = tuple(files)
    absent = wrong_size(directory, files)
    return [file.name for file in files if file.name in absent or sha256_of(directory / file.name) != file.sha256]


def _quoted(text: str) -> str:
    # TOML's basic strings; names, versions and hashes hold nothing beyond these two that needs it.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(name) for name in names) + "]"
