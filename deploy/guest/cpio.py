"""The newc cpio format, which Linux unpacks as its initramfs: a reader and a reproducible writer.

Lives here: entries and bytes.
Never here: files; what goes into the archive is decided in `image`.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from deploy.guest.errors import CpioError

MAGIC: Final = b"070701"
HEADER_BYTES: Final = 110
FIELD_COUNT: Final = 13
TRAILER: Final = "TRAILER!!!"
PERMISSIONS: Final = 0o7777
LARGEST_FIELD: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: `mode` carries the file type as in stat(2); a link's target is its data."""

    name: str
    mode: int
    data: bytes = b""
    major: int = 0
    minor: int = 0


def directory(name: str, permissions: int = 0o755) -> Entry:
    """Describe a directory."""
    return Entry(name, stat.S_IFDIR | permissions)


def regular(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    """Describe a plain file."""
    return Entry(name, stat.S_IFREG | permissions, data)


def symlink(name: str, target: str) -> Entry:
    """Describe a symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, permissions: int) -> Entry:
    """Describe a character device node."""
    return Entry(name, stat.S_IFCHR | permissions, b"", major, minor)


def write(entries: Iterable[Entry]) -> bytes:
    """Return the archive of `entries`: the same bytes for the same entries, whatever their order.

    Sorting puts every directory before what is in it, because its name is a prefix.
    Times and owners are zero and inode numbers count up, so nothing of the host leaks in.
    """
    ordered = sorted(entries, key=lambda entry: entry.name.encode())
    parts = [_member(entry, inode) for inode, entry in enumerate(ordered, start=1)]
    parts.append(_member(Entry(TRAILER, 0), 0))
    return b"".join(parts)


def read(archive: bytes) -> Iterator[Entry]:
    """Yield the members of `archive`; what follows its trailer is padding and is not looked at."""
    offset = 0
    while True:
        fields = _fields(archive, offset)
        name_start = offset + HEADER_BYTES
        name_end = name_start + fields[11]
        data_start = _aligned(name_end)
        data_end = data_start + fields[6]
        if data_end > len(archive):
            raise CpioError(offset, "the member runs past the end")
        name = archive[name_start:name_end].removesuffix(b"\0").decode(errors="surrogateescape")
        if name == TRAILER:
            return
        yield Entry(name, fields[1], archive[data_start:data_end], fields[9], fields[10])
        offset = _aligned(data_end)


def _member(entry: Entry, inode: int) -> bytes:
    name = entry.name.encode(errors="surrogateescape") + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    size = len(entry.data)
    fields = (inode, entry.mode, 0, 0, links, 0, size, 0, 0, entry.major, entry.minor, len(name), 0)
    if max(fields) > LARGEST_FIELD:
        raise CpioError(0, f"{entry.name} is too large for the format")
    header = MAGIC + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _fields(archive: bytes, offset: int) -> tuple[int, ...]:
    header = archive[offset : offset + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        raise CpioError(offset, "the archive ends without its trailer")
    if not header.startswith(MAGIC):
        raise CpioError(offset, "no member starts here")
    digits = header[len(MAGIC) :]
    try:
        return tuple(int(digits[8 * n : 8 * n + 8], 16) for n in range(FIELD_COUNT))
    except ValueError as error:
        raise CpioError(offset, "a header field is not a number") from error


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
