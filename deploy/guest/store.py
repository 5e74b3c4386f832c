"""Where built guests are kept: find one, check it, or build it once.

Lives here: the cache directory, its lock, the exchange of an old guest for a new one.
Never here: what a guest consists of.
"""

import errno
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.guest.errors import CacheUnwritable, DiskFull
from deploy.guest.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestDamaged,
    damaged,
    parse,
    wrong_size,
)
from deploy.guest.progress import Say, say_on_stderr
from deploy.guest.recipe import GUEST_NAME, INITRD_NAME, KERNEL_NAME, recipe_sha256

BUILDING_PREFIX: Final = f".{GUEST_NAME}-"


@dataclass(frozen=True, slots=True)
class Guest:
    """A built guest; `sha256` maps the names of its files to what they must hash to."""

    kernel: Path
    initrd: Path
    sha256: Mapping[str, str]
    manifest: Manifest

    def damaged(self) -> list[str]:
        """Read the files and name those that are not what was built."""
        return damaged(self.kernel.parent, self.manifest.files)


def guest_directory(cache: Path) -> Path:
    """Return where the default guest is kept in a cache."""
    return cache / "guest" / GUEST_NAME


def find_guest(cache: Path) -> Guest | None:
    """Return the guest if it is built, by this recipe and of the right sizes; hash nothing."""
    found = _examined(guest_directory(cache))
    return found if isinstance(found, Guest) else None


def ensure_guest(cache: Path, *, mirror: str | None = None, say: Say = say_on_stderr) -> Guest:
    """Return the guest, every file verified by its hash; build it first if need be."""
    directory = guest_directory(cache)
    try:
        if (guest := _used(directory, say)) is not None:
            return guest
        with locked(directory.parent / f"{GUEST_NAME}.lock", say):
            # Whoever held the lock before may have built it.
            return _used(directory, say) or _rebuilt(directory, mirror, say)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(cache) from error
        raise CacheUnwritable(cache, str(error)) from error


@contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Hold the lock file: one build at a time; the kernel releases it if the builder is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _used(directory: Path, say: Say) -> Guest | None:
    guest = _usable(directory)
    if guest is not None:
        say(f"using {directory}: {' and '.join(guest.sha256)} match {MANIFEST_NAME}")
    return guest


def _usable(directory: Path) -> Guest | None:
    found = _examined(directory)
    return found if isinstance(found, Guest) and not found.damaged() else None


def _examined(directory: Path) -> Guest | str:
    """Return the guest in a directory, or the reason why there is none."""
    try:
        manifest = parse((directory / MANIFEST_NAME).read_text())
    except FileNotFoundError:
        return f"there is no guest in {directory}"
    except (ManifestDamaged, UnicodeDecodeError):
        return f"{directory / MANIFEST_NAME} is damaged"
    if manifest.recipe_sha256 != recipe_sha256():
        return f"{directory} was built by another recipe"
    sha256 = {file.name: file.sha256 for file in manifest.files}
    if not {KERNEL_NAME, INITRD_NAME} <= sha256.keys():
        return f"{directory / MANIFEST_NAME} is damaged"
    if names := wrong_size(directory, manifest.files):
        return f"{directory / names[0]} is damaged (its size is another)"
    kernel, initrd = directory / KERNEL_NAME, directory / INITRD_NAME
    return Guest(kernel, initrd, MappingProxyType(sha256), manifest)


def _rebuilt(directory: Path, mirror: str | None, say: Say) -> Guest:
    """Build beside the final place and rename: a guest is there whole or not at all."""
    found = _examined(directory)
    reason = found if isinstance(found, str) else _damage(found)
    say(f"{reason}: building it")
    home = directory.parent
    for left_over in home.glob(f"{BUILDING_PREFIX}*"):
        shutil.rmtree(left_over)
    # Imported here: whoever only looks for a guest, as every start of a machine does, needs no builder.
    from deploy.guest import build  # noqa: PLC0415
    from deploy.guest.packages import PackageCache  # noqa: PLC0415

    packages = PackageCache(home / "packages", home / "apt", _site_source(mirror), say)
    with tempfile.TemporaryDirectory(prefix=BUILDING_PREFIX, dir=home) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        build.build(fresh, packages, say)
        if directory.exists():
            directory.rename(Path(scratch) / "old")
        fresh.rename(directory)
    guest = _usable(directory)
    assert guest is not None, "a guest just built does not match its own manifest"
    say(f"built {directory}: {_sizes(guest)}")
    return guest


def _site_source(mirror: str | None) -> Callable[[], tuple[str, ...]]:
    from deploy.guest import apt  # noqa: PLC0415

    return apt.host_sites if mirror is None else lambda: (mirror.rstrip("/"),)


def _damage(guest: Guest) -> str:
    names = " and ".join(str(guest.kernel.parent / name) for name in guest.damaged())
    return f"{names} is damaged (its sha256 is not the one in {MANIFEST_NAME})"


def _sizes(guest: Guest) -> str:
    return ", ".join(f"{file.name} {file.size / 1e6:.1f} MB" for file in guest.manifest.files)
