"""A recording as one file: a zstd-compressed tar of its directory and, unless it is thin, of the guest's files.

Lives here: what goes in and what may come out.
Never here: what a recording means.

Any tar unpacks one.  unpack() trusts nothing: it takes the names a recording has and no others, and checks every
guest file against the SHA-256 it is named by.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

import zstandard

from machine.errors import LogError, MachineError, UsageError
from machine.recording.facts import sha256_of
from machine.recording.files import locate
from machine.recording.layout import (
    DIRECTORY_MODE,
    FILE_MODE,
    FILES_NAME,
    LOG_NAME,
    MACHINE_NAME,
    SNAPSHOTS_NAME,
    SUFFIX,
)
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PACKED_SUFFIX: Final = f"{SUFFIX}.tar.zst"
LEVEL: Final = 10
_READ_BYTES: Final = 1 << 16
_MEMBER: Final = re.compile(
    rf"{re.escape(MACHINE_NAME)}|{re.escape(LOG_NAME)}|{FILES_NAME}/[0-9a-f]{{64}}"
    rf"|{SNAPSHOTS_NAME}/[0-9]{{8,}}\.(?:snapshot|pages)"
)


def pack(
    recording: Recording,
    target: Path,
    *,
    thin: bool,
    elsewhere: Callable[[], Sequence[Path]],
    snapshots: bool = False,
) -> None:
    """Write a recording into one new file of mode 0600; guest files go in unless `thin`, `snapshots` if told.

    UsageError if the file exists, ChangedGuest if a guest file is nowhere, SnapshotError if the snapshot that it begins
    with is damaged, MachineError if the host refuses.
    """
    files = [(name, recording.path / name) for name in (MACHINE_NAME, LOG_NAME)]
    store = SnapshotStore(recording.path, recording.facts.id)
    # It cannot be replayed without the snapshot it begins at.
    numbers = {recording.facts.snapshot} - {0} | ({head.number for head in store.list()} if snapshots else set())
    kept = {path.name: path for number in sorted(numbers) for path in store.files(number)}
    files += [(f"{SNAPSHOTS_NAME}/{name}", path) for name, path in sorted(kept.items())]
    if not thin:
        found = {file.sha256: locate(file, recording.path, elsewhere) for file in recording.facts.files}
        files += [(f"{FILES_NAME}/{digest}", path) for digest, path in sorted(found.items())]
    if target.exists():
        raise UsageError(f"{target}: exists already; give another name with -o")
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}-", delete=False) as scratch:
            try:
                _write(scratch, files)
                Path(scratch.name).rename(target)
            except BaseException:
                Path(scratch.name).unlink()
                raise
    except OSError as error:
        raise MachineError(f"{target}: cannot pack: {error.strerror}") from error


def unpack(source: Path, target: Path) -> Recording:
    """Restore a packed recording as a new directory; nothing is left behind if that fails.

    UsageError if the directory exists; LogError if the file is damaged or not a packed recording.
    """
    if target.exists():
        raise UsageError(f"{target}: exists already; give another name with -o")
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise MachineError(f"{target}: cannot unpack: {error.strerror}") from error
    try:
        _read(source, scratch)
        Recording.open(scratch)
        scratch.rename(target)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise LogError(f"{source}: not a packed recording, or a damaged one: {error}") from error
    except OSError as error:
        raise MachineError(f"{target}: cannot unpack {source}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(scratch)
    return Recording.open(target)


def _write(file: IO[bytes], files: Sequence[tuple[str, Path]]) -> None:
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with packer.stream_writer(file, closefd=False) as out, tarfile.open(fileobj=out, mode="w|") as archive:
        for name, path in files:
            with path.open("rb") as content:
                member = archive.gettarinfo(arcname=name, fileobj=content)
                # Whoever packs is nobody's business, and the same recording packs to the same bytes.
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = ""
                member.mode = FILE_MODE
                archive.addfile(member, content)


def _read(source: Path, directory: Path) -> None:
    directory.chmod(DIRECTORY_MODE)
    with source.open("rb") as file, tarfile.open(fileobj=(plain := _Plain(file)), mode="r|") as archive:
        for member, content in _members(archive, source):
            path = directory / member.name
            path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            with path.open("xb") as out:
                path.chmod(FILE_MODE)
                shutil.copyfileobj(content, out)
            _check(path, member.size, source)
        # The checksum stands behind everything, and tar does not read so far.
        while plain.read(_READ_BYTES):
            pass


class _Plain(io.BufferedIOBase):
    """What a zstd frame holds, up to its end and its checksum; EOFError if the file ends before (RFC 8878, 3.1.1)."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = bytearray()

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, fewer only at the end.  ZstdError if they are damaged."""
        assert size is not None
        assert size >= 0, "a stream of unknown length is read in pieces"
        while len(self._waiting) < size and not self._frame.eof:
            packed = self._file.read(_READ_BYTES)
            if not packed:
                raise EOFError("it ends too early")
            self._waiting += self._frame.decompress(packed)
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    seen: set[str] = set()
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is None or not _MEMBER.fullmatch(member.name) or member.name in seen:
            raise LogError(f"{source}: {member.name!r} does not belong in a packed recording")
        seen.add(member.name)
        yield member, content


def _check(path: Path, size: int, source: Path) -> None:
    if path.stat().st_size != size:
        raise LogError(f"{source}: {path.name} is cut off")
    if PurePosixPath(path).parent.name == FILES_NAME and sha256_of(path) != path.name:
        raise LogError(f"{source}: guest file {path.name} is damaged: its sha256 is another")
