"""The names in `snapshots/`, and the file that holds a snapshot but for its pages (docs/log-format.md, Snapshots)."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import zstandard

from machine.errors import DamagedSnapshot, ForeignSnapshot, MissingSnapshot, SnapshotError, StateError
from machine.recording.regular import read_regular
from machine.recording.snapshots.pagemap import PageMap
from machine.recording.snapshots.snapshot import Snapshot
from machine.vmstate import decode, encode, vmstate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAGIC: Final = b"DVSNAP1\n"
HASH_BYTES: Final = 16
"""Of blake2b.  For two different pages of one recording to have one hash by chance, 2^64 would have to be kept, which
is 2^76 bytes; and who can choose pages so that they collide writes into his own recording."""
LEVEL: Final = 3
HIGHEST_BYTES: Final = 1 << 28
"""Of an unpacked file: what is larger is no snapshot of ours."""
HIGHEST_NAME: Final = "highest"
"""The highest number that a snapshot has had which is gone, in decimal: no number is given twice."""
_HIGHEST_DIGITS: Final = 32
_NAME: Final = re.compile(r"([0-9]{8,32})\.(snapshot|pages)")
Signature = tuple[int, int, int]
"""What a file changes in when it becomes another: inode, bytes, nanoseconds of its last change."""
Files = dict[tuple[int, str], Signature]
"""The files of a folder, by number and kind, `snapshot` or `pages`."""


@vmstate("snapshot-file", 1)
@dataclass(slots=True)
class SnapshotFile:
    """A snapshot with the map of its pages."""

    snapshot: Snapshot
    page_map: bytes
    """PageMap.encode()."""
    packs: tuple[tuple[int, int], ...]
    """Pack, pages in it, for each that the map names."""
    content: bytes
    """The hash of the hashes of its pages, in the order of memory."""

    def map(self) -> PageMap:
        """The page map; StateError if it is none."""
        return PageMap.decode(self.page_map, self.snapshot.memory)


def snapshot_path(directory: Path, number: int) -> Path:
    """The file of a snapshot."""
    return directory / f"{number:08}.snapshot"


def pack_path(directory: Path, number: int) -> Path:
    """The file of the pages that were new in a snapshot."""
    return directory / f"{number:08}.pages"


def number_of(name: str) -> tuple[int, str] | None:
    """The number in a file's name, and whether it is a `snapshot` or `pages`; None for any other file."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), found[2]) if found else None


def highest_number(folder: Path, files: Iterable[tuple[int, str]]) -> int:
    """The highest number that a snapshot has or has had, 0 if there was none."""
    try:
        gone = int(read_regular(folder / HIGHEST_NAME, _HIGHEST_DIGITS))
    except (OSError, ValueError):
        gone = 0
    return max((gone, *(number for number, _ in files)))


def files_of(folder: Path) -> Files:
    """The files of snapshots and pages: number and kind -> signature; none where there is no folder."""
    found: Files = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                named = number_of(entry.name)
                if named is not None:
                    # One that has just gone is not there.
                    with suppress(FileNotFoundError):
                        found[named] = signature_of(entry.stat())
    except FileNotFoundError:
        return found
    except OSError as error:
        raise SnapshotError(f"{folder}: cannot read the snapshots: {error.strerror}") from error
    return found


def signature_of(status: os.stat_result) -> Signature:
    """A file's signature."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def digest_of(*parts: bytes | bytearray | memoryview) -> bytes:
    """The hash that everything in these files is checked by."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def pack_file(file: SnapshotFile) -> bytes:
    """The bytes of a snapshot's file."""
    body = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(encode(file))
    return MAGIC + digest_of(body) + body


def read_file(directory: Path, number: int, recording_id: str) -> SnapshotFile:
    """The file of a snapshot; MissingSnapshot, DamagedSnapshot, ForeignSnapshot."""
    path = snapshot_path(directory, number)
    try:
        data = read_regular(path, HIGHEST_BYTES)
    except FileNotFoundError as error:
        raise MissingSnapshot(f"{directory}: there is no snapshot {number}") from error
    except OSError as error:
        raise DamagedSnapshot(f"{path}: cannot read the snapshot: {error.strerror}") from error
    file = _parse(data, path)
    snapshot = file.snapshot
    if snapshot.recording != recording_id:
        raise ForeignSnapshot(
            f"{path}: a snapshot of recording {snapshot.recording}, and this is recording {recording_id}; "
            "its state cannot be used here"
        )
    if snapshot.number != number:
        raise DamagedSnapshot(f"{path}: holds snapshot {snapshot.number}; give the file its name back")
    return file


def _parse(data: bytes, path: Path) -> SnapshotFile:
    start = len(MAGIC) + HASH_BYTES
    body = memoryview(data)[start:]
    if data[: len(MAGIC)] != MAGIC:
        raise DamagedSnapshot(f"{path}: not a snapshot, or one of another version of dejavm")
    if data[len(MAGIC) : start] != digest_of(body):
        raise DamagedSnapshot(f"{path}: the snapshot is damaged: its digest is another; delete it")
    try:
        if zstandard.frame_content_size(body) > HIGHEST_BYTES:
            raise DamagedSnapshot(f"{path}: the snapshot says that it is larger than {HIGHEST_BYTES} bytes")
        return decode(SnapshotFile, zstandard.ZstdDecompressor().decompress(body))
    except (zstandard.ZstdError, StateError) as error:
        raise DamagedSnapshot(f"{path}: the snapshot cannot be used: {error}") from error
