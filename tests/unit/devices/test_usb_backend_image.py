"""Which files can be a disk image, and who may use one at the same time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devices.backends.usb.image import Image
from machine.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path

WHERE = "usb0 port 1"


def opened(path: Path, *, read_only: bool = False) -> Image:
    return Image(str(path), WHERE, block_size=512, read_only=read_only)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has 0 bytes, not one or more blocks of 512"),
        (bytes(513), "has 513 bytes, not one or more blocks of 512"),
        (None, "No such file"),
        ("directory", "Is a directory"),
        ("fifo", "neither a file nor a block device"),
        ("socket", "No such device or address"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes | str | None, says: str) -> None:
    path = tmp_path / "image"
    match content:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, 0o600 | 0o140000)
        case bytes():
            path.write_bytes(content)
        case _:
            pass
    with pytest.raises(BackendError, match=f"{WHERE}: .*image {path}.*{says}"):
        opened(path)


def test_a_character_device_is_no_image() -> None:
    with pytest.raises(BackendError, match="image /dev/null is neither a file nor a block device"):
        Image("/dev/null", WHERE, block_size=512, read_only=True)


def test_a_path_with_a_zero_byte_is_no_crash() -> None:
    with pytest.raises(BackendError, match="embedded null byte"):
        Image("a\0b", WHERE, block_size=512, read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_two_machines_do_not_use_an_image_that_one_writes_to(path: Path, read_only: bool) -> None:
    image = opened(path)
    with pytest.raises(BackendError, match="is in use; several machines may share it only with readonly=on"):
        opened(path, read_only=read_only)
    image.close()
    opened(path, read_only=read_only).close()


def test_several_machines_read_one_image(path: Path) -> None:
    images = [opened(path, read_only=True) for _ in range(3)]
    assert all(image.read(7, 1) == bytes(512) for image in images)
    with pytest.raises(BackendError, match="is in use"):
        opened(path)
    for image in images:
        image.close()
        image.close()


def test_what_is_refused_leaves_no_descriptor_open(path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    image = opened(path)
    for _ in range(5):
        with pytest.raises(BackendError):
            opened(path)
    image.close()
    assert os.listdir("/proc/self/fd") == before
