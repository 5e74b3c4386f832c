"""`storage,file=PATH`: a mass storage device whose blocks are in an image on the host.

Requests are done one after the other in a thread; what became of each is an input, whenever it comes.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.backends.usb.image import Image
from devices.backends.usb.port import Port, PortLink
from devices.backends.usb.watch import FileWatch
from devices.backends.words import number, parse_options, switch
from devices.usb.messages import (
    BLOCK_SIZES,
    STORAGE_REQUEST_BYTES,
    Kind,
    MalformedMessage,
    StorageCompletion,
    StorageDescription,
    StorageOperation,
    StorageRequest,
    What,
    decode_storage_request,
    encode_storage_completion,
)
from machine.errors import BackendError
from machine.message import BackendResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.backends.work import Lane

log = logging.getLogger("dejavm")

GONE: Final = (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ESTALE)
"""What the host says of a medium that is not there any more."""
LONGEST_DELAY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """What the word says; `delay_ms` bounds a delay drawn for each request, (0, 0) for none."""

    file: str
    read_only: bool = False
    block_size: int = 512
    delay_ms: tuple[int, int] = (0, 0)


def parse_storage(argument: str, where: str) -> StorageOptions:
    """`file=PATH[,readonly=on|off][,logical_block_size=512][,delay=LOW-HIGHms]`.  BackendError."""
    options = parse_options(argument, ("file", "readonly", "logical_block_size", "delay"), where)
    if not options.get("file"):
        raise BackendError(f"{where}: storage needs file=PATH")
    block_size = number(options.get("logical_block_size", "512"), 1, max(BLOCK_SIZES), f"{where}: logical_block_size")
    if block_size not in BLOCK_SIZES:
        raise BackendError(f"{where}: logical_block_size is one of {', '.join(map(str, BLOCK_SIZES))}")
    delay_ms = _parse_delay(options.get("delay", "0ms"), where)
    read_only = switch(options.get("readonly", "off"), f"{where}: readonly")
    return StorageOptions(options["file"], read_only, block_size, delay_ms)


def _parse_delay(text: str, where: str) -> tuple[int, int]:
    match = re.fullmatch(r"(?:(\d{1,5})-)?(\d{1,5})ms", text, re.ASCII)
    if match is None:
        raise BackendError(f"{where}: delay={text}: write delay=LOW-HIGHms, such as 0-50ms")
    high = int(match[2])
    low = high if match[1] is None else int(match[1])
    if not low <= high <= LONGEST_DELAY_MS:
        raise BackendError(f"{where}: delay={text}: from low to high, at most {LONGEST_DELAY_MS}ms")
    return low, high


class StoragePort(Port):
    """An image in a port."""

    def __init__(self, options: StorageOptions) -> None:
        self._options = options
        self._image: Image | None = None
        self._watch: FileWatch | None = None
        self._lane: Lane | None = None
        self._said = 0
        """The errno that was said last; a guest that tries again and again is no news."""

    def open(self, link: PortLink) -> None:
        """Open and lock the image; BackendError says why not."""
        options = self._options
        self._link = link
        image = Image(options.file, link.where, block_size=options.block_size, read_only=options.read_only)
        self._image = image
        self._watch = FileWatch(image.descriptor)
        self._lane = link.pool.lane()
        link.plug(Kind.STORAGE, StorageDescription(image.size, image.block_size, image.read_only))

    def close(self) -> None:
        """Pull it out: what has not been begun is not done."""
        self._end(finish=False)

    def finish(self) -> None:
        """Everything that the guest has asked for is done first."""
        self._end(finish=True)

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The watch over the image."""
        return [(self._watch.fd, True, False)] if self._watch is not None and self._watch.fd >= 0 else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Something has happened to the image: without a name it is gone for the guest too."""
        if self._watch is None or self._image is None:
            return
        self._watch.take()
        if self._image.vanished():
            self._lose("it has been removed")

    def write(self, message: bytes) -> BackendResult:
        """Have a request done; EBUSY when too many are under way, EINVAL if it is none."""
        image, lane = self._image, self._lane
        try:
            request = decode_storage_request(message)
        except MalformedMessage as mistake:
            log.warning("%s: %s", self._link.where, mistake)
            return BackendResult(0, errno.EINVAL)
        if image is None or lane is None or request.blocks * image.block_size > STORAGE_REQUEST_BYTES:
            return BackendResult(0, errno.EINVAL)
        do = self._slow(lambda: carry_out(image, request))
        if not lane.submit(do, lambda data, error: self._complete(request.tag, data or b"", error)):
            return BackendResult(0, errno.EBUSY)
        return BackendResult(len(message))

    def listen(self, message: bytes) -> bool:
        """Write what was written in the recording; nothing is read and nobody is told."""
        try:
            request = decode_storage_request(message)
            if self._image is not None and request.operation is StorageOperation.WRITE:
                carry_out(self._image, request)
        except (MalformedMessage, OSError) as error:
            self._lose(f"a recorded request cannot be repeated: {error}")
        return True

    def _slow(self, do: Callable[[], bytes]) -> Callable[[], bytes]:
        """The job, behind the delay that a test has asked for."""
        low, high = self._options.delay_ms
        if not high:
            return do
        delay_s = random.uniform(low, high) / 1000  # noqa: S311 - nothing is secret
        closing = self._link.pool.closing

        def wait_and_do() -> bytes:
            closing.wait(delay_s)
            return do()

        return wait_and_do

    def _complete(self, tag: int, data: bytes, error: int) -> None:
        """Tell the device what became of a request."""
        if self._image is not None and self._image.vanished():
            error = errno.ENODEV
        completion = StorageCompletion(tag, error, b"" if error else data)
        self._link.data(What.DATA, encode_storage_completion(completion))
        if error and error != self._said:
            log.warning("%s: %s: %s", self._link.where, self._options.file, os.strerror(error))
        self._said = error or self._said
        if error in GONE:
            self._lose("it has gone")

    def _lose(self, why: str) -> None:
        log.warning("%s: %s is unplugged: %s", self._link.where, self._options.file, why)
        self._end(finish=False)
        self._link.unplug()

    def _end(self, *, finish: bool) -> None:
        """The image is closed behind the request under way, since a thread may be using it."""
        image, self._image = self._image, None
        lane, self._lane = self._lane, None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if lane is not None and image is not None:
            lane.end(image.close, finish=finish)
        elif image is not None:
            image.close()


def carry_out(image: Image, request: StorageRequest) -> bytes:
    """The bytes that a request reads, none for the others; OSError."""
    match request.operation:
        case StorageOperation.READ:
            return image.read(request.first_block, request.blocks)
        case StorageOperation.WRITE:
            image.write(request.first_block, request.blocks, request.data)
        case StorageOperation.FLUSH:
            image.flush()
    return b""


def create_storage(argument: str, where: str) -> Port:
    """`storage,...`."""
    return StoragePort(parse_storage(argument, where))
