"""Disk images behind a USB port: what each request comes to, and everything that can be wrong with an image."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.usb import storage
from devices.backends.usb.watch import FileWatch
from devices.backends.work import LANE_JOBS
from devices.usb.messages import (
    STORAGE_REQUEST_BYTES,
    Kind,
    Plugged,
    StorageCompletion,
    StorageDescription,
    StorageOperation,
    StorageRequest,
    What,
    decode_data,
    decode_plugged,
    decode_storage_completion,
    encode_storage_request,
)
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devices.backends.usb.image import Image

BLOCK = 512
BLOCKS = 64
READ, WRITE, FLUSH = StorageOperation.READ, StorageOperation.WRITE, StorageOperation.FLUSH


class Disk:
    """An image behind port 1, and what the device would ask of it."""

    def __init__(self, path: Path, options: str = "", *, live: bool = True) -> None:
        self.path = path
        self.backend = create_backend("usb", f"storage,file={path}{options}", "usb0")
        self.loop = HostLoop(self.backend).open()
        if live:
            self.backend.advance(1 << 20)

    @property
    def completions(self) -> list[StorageCompletion]:
        """What has become of requests so far."""
        messages = [decode_data(data) for event, data, _ in self.loop.events if event is HostEvent.DATA]
        assert all(message.what is What.DATA and message.port == 1 for message in messages)
        return [decode_storage_completion(message.data) for message in messages]

    def ask(self, request: StorageRequest) -> BackendResult:
        """Give a request to the backend; it is taken whole or not at all."""
        message = encode_storage_request(1, request)
        result = self.backend.write(message)
        assert result.accepted == (0 if result.error else len(message))
        return result

    def complete(self, count: int) -> list[StorageCompletion]:
        """Serve the host until so many requests have ended."""
        self.loop.until(lambda: len(self.completions) >= count)
        return self.completions

    def do(self, request: StorageRequest) -> StorageCompletion:
        """A request and what becomes of it."""
        count = len(self.completions) + 1
        assert self.ask(request).error == 0
        return self.complete(count)[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(bytes((number,)) * BLOCK for number in range(BLOCKS)))
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., Disk]]:
    disks: list[Disk] = []

    def make(*args: object, **more: object) -> Disk:
        disks.append(Disk(*args, **more))  # type: ignore[arg-type]
        return disks[-1]

    yield make
    for disk in disks:
        disk.backend.close()


def test_blocks_are_read_written_and_flushed(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path)
    assert disk.do(StorageRequest(1, READ, 3, 2)) == StorageCompletion(1, 0, b"\3" * BLOCK + b"\4" * BLOCK)
    assert disk.do(StorageRequest(2, WRITE, 63, 1, b"z" * BLOCK)) == StorageCompletion(2)
    assert disk.do(StorageRequest(3, FLUSH)) == StorageCompletion(3)
    assert path.read_bytes()[63 * BLOCK :] == b"z" * BLOCK
    assert path.stat().st_size == BLOCKS * BLOCK
    assert disk.do(StorageRequest(4, READ, 63, 1)).data == b"z" * BLOCK


def test_requests_are_done_in_their_order(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path, ",delay=0-2ms")
    for number in range(20):
        disk.ask(StorageRequest(2 * number, WRITE, 5, 1, bytes((100 + number,)) * BLOCK))
        disk.ask(StorageRequest(2 * number + 1, READ, 5, 1))
    ended = disk.complete(40)
    assert [completion.tag for completion in ended] == list(range(40))
    assert [completion.data[:1] for completion in ended[1::2]] == [bytes((100 + number,)) for number in range(20)]


@pytest.mark.parametrize("size", [512, 1024, 2048, 4096])
def test_blocks_may_be_larger(start: Callable[..., Disk], path: Path, size: int) -> None:
    disk = start(path, f",logical_block_size={size}")
    description = StorageDescription(BLOCKS * BLOCK, size)
    assert decode_plugged(disk.loop.events[0][1]) == Plugged(1, Kind.STORAGE, description)
    assert disk.do(StorageRequest(1, READ, 1, 1)).data == path.read_bytes()[size : 2 * size]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (StorageRequest(1, READ, BLOCKS, 1), errno.EINVAL),
        (StorageRequest(1, READ, BLOCKS - 1, 2), errno.EINVAL),
        (StorageRequest(1, READ, (1 << 64) - 1, 1), errno.EINVAL),
        (StorageRequest(1, WRITE, BLOCKS, 1, bytes(BLOCK)), errno.EINVAL),
        (StorageRequest(1, WRITE, 0, 2, bytes(BLOCK)), errno.EINVAL),
        (StorageRequest(1, WRITE, 0, 1, bytes(BLOCK + 1)), errno.EINVAL),
    ],
)
def test_what_is_not_on_the_disk_is_an_error(
    start: Callable[..., Disk], path: Path, request_: StorageRequest, error: int
) -> None:
    before = path.read_bytes()
    assert start(path).do(request_) == StorageCompletion(1, error)
    assert path.read_bytes() == before


def test_a_request_that_is_none_is_refused(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path)
    for message in (b"\1", b"\1" + bytes(16), b"\1" + bytes(4) + b"\x09" + bytes(12)):
        assert disk.backend.write(message) == BackendResult(0, errno.EINVAL)
    assert disk.ask(StorageRequest(1, READ, 0, STORAGE_REQUEST_BYTES // BLOCK + 1)) == BackendResult(0, errno.EINVAL)
    assert disk.do(StorageRequest(2, READ, 0, 1)).error == 0


def test_a_disk_that_is_only_read_refuses_to_write(start: Callable[..., Disk], path: Path) -> None:
    path.chmod(0o400)
    disk = start(path, ",readonly=on")
    assert decode_plugged(disk.loop.events[0][1]).description == StorageDescription(BLOCKS * BLOCK, 512, read_only=True)
    assert disk.do(StorageRequest(1, WRITE, 0, 1, bytes(BLOCK))) == StorageCompletion(1, errno.EROFS)
    assert disk.do(StorageRequest(2, READ, 9, 1)).data == b"\x09" * BLOCK


def test_an_image_that_becomes_shorter_has_bad_blocks(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path)
    os.truncate(path, 10 * BLOCK + 100)
    assert disk.do(StorageRequest(1, READ, 9, 1)).data == b"\x09" * BLOCK
    assert disk.do(StorageRequest(2, READ, 9, 2)) == StorageCompletion(2, errno.EIO)
    assert disk.do(StorageRequest(3, WRITE, 20, 1, bytes(BLOCK))) == StorageCompletion(3, errno.EIO)
    assert path.stat().st_size == 10 * BLOCK + 100
    assert disk.do(StorageRequest(4, FLUSH)).error == 0
    assert HostEvent.CLOSED not in disk.loop.kinds()


def test_a_full_disk_is_an_error_of_the_write(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow beyond a size is the full disk that needs no file system of its own.
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK, limits[1]))
    try:
        ended = disk.do(StorageRequest(1, WRITE, 2, 1, bytes(BLOCK)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert ended == StorageCompletion(1, errno.EFBIG)
    assert disk.do(StorageRequest(2, WRITE, 2, 1, bytes(BLOCK))).error == 0


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EREMOTEIO])
def test_what_the_host_says_is_what_the_device_is_told(
    start: Callable[..., Disk],
    path: Path,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = start(path)

    def broken(_image: Image, _request: StorageRequest) -> bytes:
        raise OSError(error, "as the host says")

    monkeypatch.setattr(storage, "carry_out", broken)
    for tag in range(5):
        assert disk.do(StorageRequest(tag, READ, 0, 1)) == StorageCompletion(tag, error)
    assert caplog.text.count(os.strerror(error)) == 1
    assert HostEvent.CLOSED not in disk.loop.kinds()


@pytest.mark.parametrize("error", [errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOMEDIUM])
def test_a_medium_the_host_has_lost_is_unplugged(
    start: Callable[..., Disk], path: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = start(path)

    def gone(_image: Image, _request: StorageRequest) -> bytes:
        raise OSError(error, "as the host says")

    monkeypatch.setattr(storage, "carry_out", gone)
    assert disk.do(StorageRequest(1, READ, 0, 1)) == StorageCompletion(1, error)
    assert disk.loop.events[-1] == (HostEvent.CLOSED, b"\1", 0)
    assert disk.ask(StorageRequest(2, READ, 0, 1)).error == 0
    assert disk.loop.kinds().count(HostEvent.CLOSED) == 1


def test_an_image_that_is_deleted_is_a_stick_that_is_pulled_out(
    start: Callable[..., Disk], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = start(path)
    path.rename(tmp_path / "renamed")
    os.link(tmp_path / "renamed", tmp_path / "again")
    (tmp_path / "renamed").unlink()
    (tmp_path / "again").chmod(0o600)
    assert disk.do(StorageRequest(1, READ, 1, 1)).data == b"\1" * BLOCK
    (tmp_path / "again").unlink()
    disk.loop.until_kinds(HostEvent.CLOSED)
    assert disk.loop.events[-1] == (HostEvent.CLOSED, b"\1", 0)
    assert "usb0 port 1: " in caplog.text
    assert "unplugged: it has been removed" in caplog.text
    assert disk.backend.descriptors(99)[:-1] == []
    path.write_bytes(bytes(4096))
    assert disk.backend.take_word(f"storage,file={path}")
    assert decode_plugged(disk.loop.events[-1][1]).description == StorageDescription(4096)


def test_an_image_that_is_deleted_under_way_ends_the_request_with_the_medium_gone(
    start: Callable[..., Disk], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = start(path)
    begun, go = threading.Event(), threading.Event()

    def slow(image: Image, request: StorageRequest) -> bytes:
        begun.set()
        go.wait(10)
        return image.read(request.first_block, request.blocks)

    monkeypatch.setattr(storage, "carry_out", slow)
    disk.ask(StorageRequest(1, READ, 0, 1))
    assert begun.wait(10)
    path.unlink()
    go.set()
    disk.loop.until_kinds(HostEvent.CLOSED)
    assert disk.completions in ([], [StorageCompletion(1, errno.ENODEV)])


def test_without_watches_a_deleted_image_shows_at_the_next_request(
    start: Callable[..., Disk], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileWatch, "__init__", lambda watch, _descriptor: setattr(watch, "fd", -1))
    disk = start(path)
    path.unlink()
    assert not disk.loop.serve()
    assert disk.do(StorageRequest(1, READ, 0, 1)) == StorageCompletion(1, errno.ENODEV)
    assert disk.loop.kinds()[-1] is HostEvent.CLOSED


def test_a_closed_image_is_free_again(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path)
    disk.do(StorageRequest(1, READ, 7, 1))
    disk.backend.close()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_was_asked_for_is_written_before_the_machine_ends(path: Path) -> None:
    disk = Disk(path, ",delay=20ms")
    for number in range(8):
        disk.ask(StorageRequest(number, WRITE, number, 1, b"w" * BLOCK))
    disk.backend.close()
    assert path.read_bytes()[: 8 * BLOCK] == b"w" * (8 * BLOCK)


def test_pulling_it_out_leaves_what_has_not_begun_and_does_not_wait(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path, ",delay=60000ms")
    before = path.read_bytes()
    for number in range(8):
        disk.ask(StorageRequest(number, WRITE, 8 + number, 1, b"w" * BLOCK))
    assert disk.backend.take_word("none")
    assert disk.loop.events[-1] == (HostEvent.CLOSED, b"\1", 0)
    disk.backend.close()
    assert disk.completions == []
    # The one that was under way may have been done, as with a stick.
    assert path.read_bytes()[9 * BLOCK :] == before[9 * BLOCK :]


def test_too_many_requests_are_refused(start: Callable[..., Disk], path: Path) -> None:
    disk = start(path, ",delay=60000ms")
    results = [disk.ask(StorageRequest(tag, READ, 0, 1)) for tag in range(LANE_JOBS + 10)]
    assert [result.error for result in results] == [0] * LANE_JOBS + [errno.EBUSY] * 10


def test_at_replay_an_image_is_written_to_as_recorded_and_nothing_is_said(
    start: Callable[..., Disk], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = start(path, live=False)
    disk.loop.events.clear()
    for request in (
        StorageRequest(1, READ, 0, 1),
        StorageRequest(2, WRITE, 1, 1, b"w" * BLOCK),
        StorageRequest(3, FLUSH),
        StorageRequest(4, READ, 0, 9999),
    ):
        assert disk.ask(request).error == 0
    assert path.read_bytes()[BLOCK : 2 * BLOCK] == b"w" * BLOCK
    assert disk.ask(StorageRequest(5, WRITE, 9999, 1, b"w" * BLOCK)).error == 0
    assert "a recorded request cannot be repeated" in caplog.text
    assert disk.loop.events == [(HostEvent.CLOSED, b"\1", 0)]


REQUESTS = st.builds(
    lambda tag, operation, first, blocks, fill: StorageRequest(
        tag, operation, first, blocks, bytes((fill,)) * (blocks * BLOCK if operation is WRITE else 0)
    ),
    st.integers(0, 0xFFFF_FFFF),
    st.sampled_from(StorageOperation),
    st.one_of(st.integers(0, 20), st.integers(0, (1 << 64) - 1)),
    st.integers(0, 12),
    st.integers(0, 255),
)


@settings(max_examples=60, deadline=None)
@given(requests=st.lists(st.one_of(REQUESTS, st.binary(max_size=40)), max_size=25))
def test_an_image_behaves_like_an_array_whatever_is_asked(
    tmp_path_factory: pytest.TempPathFactory, requests: list[StorageRequest | bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "model.img"
    model = bytearray(os.urandom(16 * BLOCK))
    path.write_bytes(model)
    disk = Disk(path)
    expected = []
    for request in requests:
        if isinstance(request, bytes):
            disk.backend.write(b"\2" + request)
            continue
        disk.ask(request)
        start, end = request.first_block * BLOCK, (request.first_block + request.blocks) * BLOCK
        if request.operation is FLUSH:
            expected.append(StorageCompletion(request.tag))
        elif end > len(model):
            expected.append(StorageCompletion(request.tag, errno.EINVAL))
        elif request.operation is WRITE:
            model[start:end] = request.data
            expected.append(StorageCompletion(request.tag))
        else:
            expected.append(StorageCompletion(request.tag, 0, bytes(model[start:end])))
    disk.complete(len(expected))
    disk.backend.close()
    assert disk.completions == expected
    assert path.read_bytes() == model
