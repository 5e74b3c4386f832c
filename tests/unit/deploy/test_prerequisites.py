"""What a host lacks is installed where that may be, and named where not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deploy import prerequisites

if TYPE_CHECKING:
    from pathlib import Path

APT_GET = """#!/bin/sh
echo "$*" >> {0}/said
for program in {1}; do /bin/ln -s /bin/true {0}/$program; done
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs; there are none in it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prerequisites, "SYSTEM_PROGRAMS", str(tmp_path))
    monkeypatch.setattr(prerequisites, "unusable_for_tests", list)
    return tmp_path


def test_who_is_not_root_is_told_what_to_install(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "apt-get").symlink_to("/bin/false")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert prerequisites.provide_for_tests() == 1
    assert "missing: what tests need; on Debian: apt install dosfstools mtools passt " in capsys.readouterr().err


def test_what_is_missing_is_installed_by_root(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [program for program, _ in prerequisites.TEST_PACKAGES]
    (bare / "apt-get").write_text(APT_GET.format(bare, " ".join(programs[:-1])))
    (bare / "apt-get").chmod(0o755)
    (bare / programs[-1]).symlink_to("/bin/true")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert prerequisites.provide_for_tests() == 0
    packages = " ".join(package for _, package in prerequisites.TEST_PACKAGES[:-1])
    said = (bare / "said").read_text()
    assert said == f"-qq update\n-qq install -y --no-install-recommends {packages}\n"


def test_what_the_kernel_does_not_let_tests_have_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites, "TUN", str(tmp_path / "tun"))
    monkeypatch.setattr(prerequisites, "APART", ("sh", "-c", "echo unshare: not permitted >&2; exit 1"))
    assert prerequisites.unusable_for_tests() == [
        f"{tmp_path}/tun, for the networks of the tests: No such file or directory; as root: modprobe tun",
        "namespaces, for the hosts of the tests: unshare: not permitted; see user_namespaces(7)",
    ]
