"""FAT images made and read on the host by Debian's dosfstools and mtools, which share no code with us or the guest."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

from machine.board import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SYSTEM_PROGRAMS: Final = ":/usr/sbin:/sbin"
LOAD_FAT: Final = "modprobe -a vfat nls_cp437 nls_iso8859_1 nls_ascii nls_utf8; mkdir -p /mnt"
"""What a guest does once before it mounts one."""


def make_fat_image(path: Path, files: Mapping[str, bytes], size: int = 8 * MIB) -> Path:
    """A new image with files in its root."""
    with path.open("wb") as image:
        image.truncate(size)
    _run("mkfs.vfat", "-n", "STICK", str(path))
    for name, content in files.items():
        _run("mcopy", "-i", str(path), "-", f"::{name}", stdin=content)
    return path


def read_fat_file(path: Path, name: str) -> bytes:
    """A file in an image's root."""
    return _run("mtype", "-i", str(path), f"::{name}")


def check_fat_image(path: Path) -> None:
    """AssertionError if the file system is damaged."""
    _run("fsck.vfat", "-n", str(path))


def _run(*argv: str, stdin: bytes = b"") -> bytes:
    environment = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + SYSTEM_PROGRAMS, "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(argv, input=stdin, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout + done.stderr!r} (apt install dosfstools mtools)"
    return done.stdout
