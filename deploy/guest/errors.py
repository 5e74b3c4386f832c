"""What can go wrong while a guest is built, each as one line that says what, where and what to do.

Lives here: the error classes and their words.
Never here: how a failure is noticed; that is with whoever runs the failing step.
"""

from pathlib import Path
from typing import Final

ALTERNATIVE: Final = "give your own with --kernel and --initrd"


class GuestError(Exception):
    """The guest cannot be built or used."""


class ToolMissing(GuestError):
    """The host lacks a program the builder calls."""

    def __init__(self, tool: str) -> None:
        super().__init__(
            f"building the guest needs {tool}, which this host does not have: install apt and dpkg or {ALTERNATIVE}"
        )


class MirrorUnknown(GuestError):
    """The host's apt is not configured with a Debian archive."""

    def __init__(self) -> None:
        super().__init__(
            "apt on this host has no source with Debian's main component: "
            f"name a Debian mirror with --mirror URL or {ALTERNATIVE}"
        )


class NetworkFailed(GuestError):
    """The mirror did not answer."""

    def __init__(self, site: str, detail: str) -> None:
        super().__init__(
            f"cannot fetch from {site} ({detail}): check the network and apt's proxy settings or {ALTERNATIVE}"
        )


class SignatureFailed(GuestError):
    """The archive is not signed by a key this host trusts."""

    def __init__(self, site: str, detail: str) -> None:
        super().__init__(
            f"the signature of {site} cannot be verified ({detail}): "
            f"install or upgrade the package debian-archive-keyring or {ALTERNATIVE}"
        )


class PackageMissing(GuestError):
    """The archive does not offer a package of the recipe."""

    def __init__(self, package: str, site: str) -> None:
        super().__init__(f"{site} does not offer the package {package}: choose another mirror with --mirror URL")


class AptFailed(GuestError):
    """Apt failed in a way that has no class of its own."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"apt-get failed: {detail}: repair that and run `make guest` again")


class DiskFull(GuestError):
    """There is no room for the guest."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"the disk is full under {directory}: free 300 MB there or set DEJAVM_CACHE")


class CacheUnwritable(GuestError):
    """The cache directory cannot be used."""

    def __init__(self, directory: Path, detail: str) -> None:
        super().__init__(f"cannot use the cache directory {directory} ({detail}): make it writable or set DEJAVM_CACHE")


class PackageUnreadable(GuestError):
    """A package file cannot be unpacked although its hash is right."""

    def __init__(self, package: Path, detail: str) -> None:
        super().__init__(f"dpkg-deb cannot read {package} ({detail}): delete it and run `make guest` again")


class PackageUnexpected(GuestError):
    """A package does not hold what the recipe expects of it."""

    def __init__(self, package: str, detail: str) -> None:
        super().__init__(f"package {package}: {detail}: this release of the builder does not fit it; {ALTERNATIVE}")


class ModuleMissing(GuestError):
    """A kernel module the guest cannot do without is not in the package."""

    def __init__(self, module: str, wanted_by: str) -> None:
        super().__init__(
            f"kernel module {module} ({wanted_by}) is not in the netboot initrd and not built into "
            f"the kernel: this release of the builder does not fit it; {ALTERNATIVE}"
        )


class CpioError(GuestError):
    """Bytes that should be a newc archive are not."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(f"not a newc cpio archive: {detail} at byte {offset}")
