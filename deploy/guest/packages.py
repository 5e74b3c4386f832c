"""The cache of downloaded packages: nothing in it is fetched twice, nothing damaged is used.

Lives here: files and their index.
Never here: apt itself.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.guest.apt import PrivateApt, package_version
from deploy.guest.errors import GuestError, PackageMissing
from deploy.guest.manifest import (
    ManifestDamaged,
    PackageRecord,
    parse_packages,
    render_packages,
    sha256_of,
)
from deploy.guest.progress import Say

INDEX_NAME: Final = "packages.toml"
FETCHING_PREFIX: Final = ".fetching-"


@dataclass(frozen=True, slots=True)
class PackageCache:
    """The packages directory; `sites` is asked for mirrors only when something must be fetched."""

    directory: Path
    apt_root: Path
    sites: Callable[[], tuple[str, ...]]
    say: Say

    def provide(self, names: Iterable[str]) -> tuple[PackageRecord, ...]:
        """Return the packages of these names, verified, fetching those that are not here."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for left_over in self.directory.glob(f"{FETCHING_PREFIX}*"):
            shutil.rmtree(left_over)
        here = {package.name: package for package in self._verified()}
        absent = [name for name in names if name not in here]
        if absent:
            apt = self._updated_apt()
            for name in absent:
                here[name] = self._fetched(apt, name)
                self._write_index(here.values())
        return tuple(here[name] for name in names)

    def _verified(self) -> Iterable[PackageRecord]:
        for package in self._index():
            path = self.directory / package.file
            if not path.is_file():
                continue
            if sha256_of(path) == package.sha256:
                yield package
            else:
                self.say(f"{path} is damaged (its sha256 is another): fetching it again")
                path.unlink()

    def _index(self) -> tuple[PackageRecord, ...]:
        try:
            return parse_packages((self.directory / INDEX_NAME).read_text())
        except FileNotFoundError:
            return ()
        except (ManifestDamaged, UnicodeDecodeError):
            self.say(f"{self.directory / INDEX_NAME} is damaged: fetching the packages again")
            return ()

    def _updated_apt(self) -> PrivateApt:
        """Return an apt at the first mirror that works; what the last one said is the error."""
        failed: GuestError | None = None
        for site in self.sites():
            apt = PrivateApt(self.apt_root, site)
            self.say(f"fetching the package index from {site}")
            try:
                apt.update()
            except GuestError as error:
                failed = error
            else:
                return apt
        assert failed is not None
        raise failed

    def _fetched(self, apt: PrivateApt, name: str) -> PackageRecord:
        offer = apt.offer(name)
        self.say(f"fetching {name} ({offer.size / 1e6:.1f} MB)")
        # Beside its final place: the move is a rename, and a broken download never looks whole.
        with tempfile.TemporaryDirectory(prefix=FETCHING_PREFIX, dir=self.directory) as scratch:
            apt.fetch(name, offer, Path(scratch), self.say)
            fetched = Path(scratch) / offer.file
            if not fetched.is_file():
                raise PackageMissing(name, apt.site)
            path = fetched.rename(self.directory / offer.file)
        version = package_version(path)
        return PackageRecord(name, version, path.name, path.stat().st_size, sha256_of(path))

    def _write_index(self, packages: Iterable[PackageRecord]) -> None:
        fresh = self.directory / f".{INDEX_NAME}"
        fresh.write_text(render_packages(packages))
        fresh.replace(self.directory / INDEX_NAME)
