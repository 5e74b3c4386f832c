"""Choosing the archive the host itself installs from, and naming what went wrong with it."""

from pathlib import Path

import pytest

from deploy.guest import apt, errors, mirror

TARGETS = """\
http://security.example/debian\told-security\tmain\tDebian\tDebian-Security
http://third.example/node\tnodistro\tmain\t. nodistro\t. nodistro
http://ports.example/debian\told-backports\tmain\tDebian Backports\tDebian Backports
http://updates.example/debian\told-updates\tmain\tDebian\tDebian
http://mirror.example/debian/\told\tcontrib\tDebian\tDebian
http://mirror.example/debian/\told\tmain\tDebian\tDebian
cdrom:[disc]\told\tmain\tDebian\tDebian
not a target
"""
URIS = """\
'http://mirror.example/debian/dists/old/InRelease' mirror.example_debian_dists_old_InRelease 0
'http://mirror.example/debian/dists/old-updates/InRelease' mirror.example_x_InRelease 0
'http://security.example/debian/dists/old-security/InRelease' security.example_InRelease 0
'http://mirror.example/debian/dists/old/main/binary-amd64/Packages.xz' mirror.example_Packages 0
"""


def test_the_archive_with_debian_s_main_component_is_chosen() -> None:
    sites = mirror.debian_sites(mirror.parse_targets(TARGETS))
    assert sites == ("http://mirror.example/debian", "http://updates.example/debian")


def test_a_host_without_a_debian_archive_has_no_site() -> None:
    others = [line for line in TARGETS.splitlines() if "\tDebian\tDebian" not in line]
    assert mirror.debian_sites(mirror.parse_targets("\n".join(others))) == ()


def test_a_host_that_never_fetched_indexes_is_asked_for_what_it_would_fetch() -> None:
    assert mirror.configured_sites(URIS) == ("http://mirror.example/debian",)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Err:1 http://s trixie InRelease\n  Could not resolve 's'\n", errors.NetworkFailed),
        ("E: Failed to fetch http://s/x  404  Not Found\n", errors.NetworkFailed),
        ("W: GPG error: http://s: NO_PUBKEY 1\nE: Failed to fetch x\n", errors.SignatureFailed),
        ("E: The repository 'http://s' is not signed.\n", errors.SignatureFailed),
        ("E: Unable to locate package busybox\n", errors.PackageMissing),
        ("E: Write error - write (28: No space left on device)\n", errors.DiskFull),
        ("E: Something new\n", errors.AptFailed),
        ("", errors.AptFailed),
    ],
)
def test_each_failure_of_apt_has_its_error(output: str, expected: type[errors.GuestError]) -> None:
    error = apt.failure(output, "http://s", Path("cache"), "busybox")
    assert type(error) is expected
    assert "\n" not in str(error)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.ToolMissing, match=r"needs apt-get.*--kernel and --initrd"):
        apt.require_tools()
