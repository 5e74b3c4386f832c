"""A recording as one file: a zstd-compressed tar of its directory and, unless it is thin, of the guest's files.

Lives here: what goes in and what may come out.
Never here: what a recording means.

Any tar unpacks one.  unpack() trusts nothing: it takes the names a recording has and no others, checks every
guest file against the SHA-256 it is named by, and ends where a small file becomes more than a recording does.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, Self

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
from machine.recording.regular import open_regular
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PACKED_SUFFIX: Final = f"{SUFFIX}.tar.zst"
LEVEL: Final = 10
_PIECE_BYTES: Final = 1 << 10
"""Unpacked at once: zstd makes up to 2^15 times as much of it (RFC 8878, 3.1.1.2.2), which is 32 MiB in memory."""
_READ_BYTES: Final = 1 << 16
_FREE_BYTES: Final = 1 << 30
_HIGHEST_RATIO: Final = 100
"""Of what comes out to what went in, behind the first 2^30 bytes: logs and snapshots are compressed already, and the
guest's files get a few times smaller."""
_HIGHEST_MEMBERS: Final = 1 << 16
_HEADER_BYTES: Final = 1 << 16
"""Of what a tar says of one file in front of it, which is read into memory."""
_SAYING: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MEMBER: Final = re.compile(
    rf"{re.escape(MACHINE_NAME)}|{re.escape(LOG_NAME)}|{FILES_NAME}/[0-9a-f]{{64}}"
    rf"|{SNAPSHOTS_NAME}/[0-9]{{8,32}}\.(?:snapshot|pages)"
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

    UsageError if the file exists or would be one that unpack() refuses, ChangedGuest if a guest file is nowhere,
    SnapshotError if the snapshot that it begins with is damaged, MachineError if the host refuses.
    """
    files = [(name, recording.path / name) for name in (MACHINE_NAME, LOG_NAME)]
    store = SnapshotStore(recording.path, recording.facts.id)
    numbers = {head.number for head in store.list()} if snapshots else set()
    if recording.facts.snapshot and not recording.facts.redacted:
        # It cannot be replayed without the snapshot it begins at.  What has been redacted never is, and has none.
        numbers.add(recording.facts.snapshot)
    kept = {path.name: path for number in sorted(numbers) for path in store.files(number)}
    files += [(f"{SNAPSHOTS_NAME}/{name}", path) for name, path in sorted(kept.items())]
    if not thin:
        found = {file.sha256: locate(file, recording.path, elsewhere) for file in recording.facts.files}
        files += [(f"{FILES_NAME}/{digest}", path) for digest, path in sorted(found.items())]
    for name, path in files:
        # It is given away: what is not in the recording must not be in it, whoever has put a link there.
        within = (path, path.parent) if name.startswith(SNAPSHOTS_NAME) else (path,)
        if not name.startswith(FILES_NAME) and any(each.is_symlink() for each in within):
            raise LogError(f"{path}: is a link, and no part of the recording; put the file itself there")
    if os.path.lexists(target):
        raise UsageError(f"{target}: exists already; give another name with -o")
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}-", delete=False) as scratch:
            try:
                _write(scratch, files)
                _check_ratio(scratch, target)
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
    if os.path.lexists(target):
        raise UsageError(f"{target}: exists already; give another name with -o")
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise MachineError(f"{target}: cannot unpack: {error.strerror}") from error
    try:
        _read(source, scratch)
        _check_machine(source, scratch)
        scratch.rename(target)
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, LookupError, ArithmeticError) as error:
        # Those are what Python's tarfile makes of numbers that are none.
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
            with os.fdopen(open_regular(path), "rb") as content:
                member = archive.gettarinfo(arcname=name, fileobj=content)
                # Whoever packs is nobody's business, and the same recording packs to the same bytes.
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = ""
                member.mode = FILE_MODE
                archive.addfile(member, content)


def _check_ratio(file: IO[bytes], target: Path) -> None:
    """UsageError if unpack() would take it for a small file that is made to become a large one."""
    file.seek(0)
    plain = _Plain(file)
    try:
        while plain.read(_READ_BYTES):
            pass
    except tarfile.ReadError as error:
        raise UsageError(f"{target}: unpack would refuse it: {error}; --thin leaves the guest's files out") from error


def _read(source: Path, directory: Path) -> None:
    directory.chmod(DIRECTORY_MODE)
    try:
        packed = source.open("rb")
    except OSError as error:
        raise LogError(f"{source}: cannot read: {error.strerror}") from error
    with (
        packed as file,
        tarfile.open(fileobj=(plain := _Plain(file)), mode="r|", tarinfo=_Header) as archive,
    ):
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
        self._packed = self._unpacked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, fewer only at the end.  ZstdError if they are damaged."""
        assert size is not None
        assert size >= 0, "a stream of unknown length is read in pieces"
        while len(self._waiting) < size and not self._frame.eof:
            packed = self._file.read(_PIECE_BYTES)
            if not packed:
                raise EOFError("it ends too early")
            plain = self._frame.decompress(packed)
            self._packed += len(packed)
            self._unpacked += len(plain)
            if self._unpacked > _FREE_BYTES + _HIGHEST_RATIO * self._packed:
                raise tarfile.ReadError(f"{self._packed} bytes of it become {self._unpacked}, which no recording does")
            self._waiting += plain
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


class _Header(tarfile.TarInfo):
    """What a tar says of a file, before tarfile makes room for what it says."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See TarInfo."""
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _SAYING and header.size > _HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes")
        return header


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    seen: set[str] = set()
    for member in archive:
        if member.issparse() or member.size < 0 or len(seen) == _HIGHEST_MEMBERS:
            raise LogError(f"{source}: {member.name!r} has holes, or is one of too many; no recording is packed so")
        content = archive.extractfile(member) if member.isfile() else None
        if content is None or not _MEMBER.fullmatch(member.name) or member.name in seen:
            raise LogError(f"{source}: {member.name!r} does not belong in a packed recording")
        seen.add(member.name)
        yield member, content


def _check_machine(source: Path, directory: Path) -> None:
    """LogError, which names what the user has, unless a recording is in the directory."""
    try:
        Recording.open(directory)
    except LogError as error:
        raise LogError(str(error).replace(str(directory), str(source))) from error


def _check(path: Path, size: int, source: Path) -> None:
    if path.stat().st_size != size:
        raise LogError(f"{source}: {path.name} is cut off")
    if PurePosixPath(path).parent.name == FILES_NAME and sha256_of(path) != path.name:
        raise LogError(f"{source}: guest file {path.name} is damaged: its sha256 is another")
