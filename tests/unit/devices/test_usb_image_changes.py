"""An image that changes its size under a disk: every request ends, and nothing worse than an error comes of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.usb.messages import StorageRequest
from tests.unit.devices.test_usb_backend_storage import BLOCK, READ, REQUESTS, WRITE, Disk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SIZES = st.one_of(st.integers(0, 16).map(lambda blocks: blocks * BLOCK), st.integers(0, 20 * BLOCK))
"""What somebody else makes the image as long as, in bytes."""


@settings(max_examples=60, deadline=None)
@example(steps=[10 * BLOCK, StorageRequest(1, READ, 14, 0)])
@given(steps=st.lists(st.one_of(REQUESTS, SIZES), max_size=25))
def test_an_image_of_changing_size_answers_every_request_with_its_bytes_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, steps: list[StorageRequest | int]
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "changing.img"
    path.write_bytes(os.urandom(16 * BLOCK))
    disk = Disk(path)
    try:
        for step in steps:
            if isinstance(step, int):
                os.truncate(path, step)
            else:
                check_request(disk, step)
    finally:
        disk.backend.close()


def check_request(disk: Disk, request: StorageRequest) -> None:
    """Do it, with nobody else at the image."""
    start, end = request.first_block * BLOCK, (request.first_block + request.blocks) * BLOCK
    before = disk.path.read_bytes()
    completion = disk.do(request)
    assert completion.tag == request.tag
    if request.operation is READ:
        # What is told is what is there, whole, or that it could not be read.  No blocks can be read anywhere.
        told = (len(completion.data), completion.data)
        assert completion.error or told == (end - start, before[start:end])
    elif request.operation is WRITE and not completion.error:
        assert disk.path.read_bytes()[start:end] == request.data
    else:
        assert disk.path.read_bytes() == before
