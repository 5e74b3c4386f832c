"""Debian packages by way of the host's own apt and dpkg.

Lives here: every program the builder starts, a private apt beside the host's own, what its
failures mean.
Never here: which packages, and where they are kept.

The private apt reads the host's configuration (proxies, timeouts, credentials) and then ours, which
replaces only what ties apt to the host's release: sources, lists, pins, architecture, hooks.
"""

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.guest.errors import (
    AptFailed,
    DiskFull,
    GuestError,
    MirrorUnknown,
    NetworkFailed,
    PackageMissing,
    PackageUnexpected,
    PackageUnreadable,
    SignatureFailed,
    ToolMissing,
)
from deploy.guest.mirror import TARGET_FORMAT, configured_sites, debian_sites, parse_targets
from deploy.guest.progress import Say
from deploy.guest.recipe import ARCHITECTURE, SUITE

KEYRINGS: Final = tuple(Path("/usr/share/keyrings") / f"debian-archive-keyring.{kind}" for kind in ("pgp", "gpg"))
PROGRESS_EVERY_S: Final = 5

CONFIGURATION: Final = """\
#clear APT::Architectures;
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
Dir::State "{root}/state";
Dir::State::Lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "{root}/nothing";
Dir::Etc::Preferences "{root}/nothing/preferences";
Dir::Etc::PreferencesParts "{root}/nothing";
"""

# What apt says, and which of our errors it is; the first match counts.
NO_SPACE: Final = re.compile(r"No space left on device|enough free space", re.IGNORECASE)
NO_PACKAGE: Final = re.compile(r"Unable to locate package|Can't (?:find|select).* package", re.IGNORECASE)
NO_SIGNATURE: Final = re.compile(
    r"NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|is not signed|GPG error|OpenPGP|"
    r"signature.*(?:invalid|verif)|unauthenticated",
    re.IGNORECASE,
)
NO_NETWORK: Final = re.compile(
    r"Could not resolve|Temporary failure|Could not connect|Cannot initiate|Unable to connect|"
    r"Connection (?:failed|refused|timed out)|unreachable|timed out|Could not handshake|"
    r"Failed to fetch|does not have a Release file|40\d  ",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A package file the archive offers."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class PrivateApt:
    """An apt for the guest's architecture and release, all of whose files are under `root`."""

    root: Path
    site: str

    def update(self) -> None:
        """Fetch the index of packages; apt checks its signature."""
        self._configure()
        self._run("update")

    def offer(self, package: str) -> Offer:
        """Ask what `fetch` would fetch."""
        answer = self._run("--print-uris", "download", package)
        match = re.search(r"^'[^']+' (\S+) (\d+)", answer, re.MULTILINE)
        if match is None:
            raise PackageMissing(package, self.site)
        return Offer(match[1], int(match[2]))

    def fetch(self, package: str, offer: Offer, into: Path, say: Say) -> None:
        """Download a package into a directory; apt checks its hash against the signed index."""
        with tempfile.TemporaryFile("w+") as output:
            with _start(self._command("download", package), output.fileno(), into) as process:
                try:
                    while not _ended(process):
                        done = sum(path.stat().st_size for path in into.iterdir())
                        say(f"{package}: {done / 1e6:.0f} of {offer.size / 1e6:.0f} MB")
                finally:
                    process.kill()
            output.seek(0)
            self._check(process.returncode, output.read(), "download", package)

    def _configure(self) -> None:
        for name in ("state", "lists/partial", "cache/archives/partial", "nothing"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        # Without the keyring file, apt goes by the keys the host trusts for everything.
        signed_by = f" signed-by={keyring}" if keyring else ""
        options = f"arch={ARCHITECTURE} lang=none target=Packages{signed_by}"
        source = f"deb [{options}] {self.site} {SUITE} main\n"
        (self.root / "sources.list").write_text(source)
        settings = CONFIGURATION.format(architecture=ARCHITECTURE, root=self.root)
        (self.root / "apt.conf").write_text(settings)

    def _command(self, *arguments: str) -> list[str]:
        return ["apt-get", "-q", "-c", str(self.root / "apt.conf"), *arguments]

    def _run(self, *arguments: str) -> str:
        result = _finish(self._command(*arguments), self.root)
        self._check(result.returncode, result.stderr + result.stdout, *arguments)
        return result.stdout

    def _check(self, status: int, output: str, *arguments: str) -> None:
        if status != 0:
            error = failure(output, self.site, self.root, arguments[-1])
            raise error


def host_sites() -> tuple[str, ...]:
    """Return the Debian archives the host is configured with, the best first."""
    targets = _finish(["apt-get", "indextargets", "--format", TARGET_FORMAT, "Created-By: Packages"])
    sites = debian_sites(parse_targets(targets.stdout))
    if not sites:
        sites = configured_sites(_finish(["apt-get", "--print-uris", "update"]).stdout)
    if not sites:
        raise MirrorUnknown
    return sites


def require_tools() -> None:
    """Say at once if the host lacks a program that is needed later."""
    for tool in ("apt-get", "dpkg-deb"):
        _located(tool)


def package_version(package: Path) -> str:
    """Read the version of a package file."""
    result = _finish(["dpkg-deb", "-f", str(package), "Version"])
    if result.returncode != 0:
        raise PackageUnreadable(package, _last_line(result.stderr))
    return result.stdout.strip()


def package_members(package: Path, wanted: Iterable[str]) -> Mapping[str, bytes]:
    """Return the files of a package whose paths end in the wanted ones, unpacking nothing else."""
    endings = tuple(wanted)
    found: dict[str, bytes] = {}
    for name, data in package_files(package, lambda name: name.endswith(endings)):
        found[next(each for each in endings if name.endswith(each))] = data
    if absent := [each for each in endings if each not in found]:
        raise PackageUnexpected(package.name, f"no file …{absent[0]} in it")
    return found


def package_files(package: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The path and bytes of each regular file of a package whose path is wanted; PackageUnreadable if it is damaged."""
    command = [_located("dpkg-deb"), "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and wanted(member.name) and (file := archive.extractfile(member)):
                        yield member.name, file.read()
        except tarfile.TarError as error:
            process.kill()
            raise PackageUnreadable(package, str(error)) from error


def failure(output: str, site: str, root: Path, package: str) -> GuestError:
    """Name the error behind a failed apt-get."""
    if NO_SPACE.search(output):
        return DiskFull(root)
    if NO_PACKAGE.search(output):
        return PackageMissing(package, site)
    if match := NO_SIGNATURE.search(output):
        return SignatureFailed(site, _line_around(output, match.start()))
    if match := NO_NETWORK.search(output):
        return NetworkFailed(site, _line_around(output, match.start()))
    return AptFailed(_last_line(output))


def _finish(command: Sequence[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [_located(command[0]), *command[1:]]
    return subprocess.run(command, cwd=directory, env=_environment(), capture_output=True, text=True, check=False)


def _start(command: Sequence[str], output: int, directory: Path) -> subprocess.Popen[bytes]:
    command = [_located(command[0]), *command[1:]]
    return subprocess.Popen(command, cwd=directory, env=_environment(), stdout=output, stderr=subprocess.STDOUT)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=PROGRESS_EVERY_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment() -> dict[str, str]:
    # Failures are told apart by apt's words, so they must not be translated.
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}


def _located(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise ToolMissing(tool)
    return path


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _line_around(output: str, offset: int) -> str:
    start = output.rfind("\n", 0, offset) + 1
    return output[start:].splitlines()[0].strip()
