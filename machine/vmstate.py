"""State as data: a frozen name, a version, and one canonical row of bytes.

Theory of operation.  A state is a slotted dataclass of int, bool, bytes, str, tuple and nested states.
Its encoding is canonical: equal states give equal bytes in every process on every host, so digests
compare.  Every value begins with a one-byte tag; lengths and counts are four bytes, big-endian.

    i  length, two's complement, most significant byte first, as short as it goes
    t  f          true, false
    b  s          length, bytes; length, UTF-8
    l             count, values
    d             name as s, version as i, count of fields, values in the order of declaration

A field's type may say which values there are (machine/bounds.py).  A state whose declaration has changed keeps the
one before it, and a function from that to itself: bytes of any older version are read as what they were and lifted,
version by version.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, TypeVar

from machine.bounds import Bound
from machine.errors import StateError

T = TypeVar("T")
_LENGTH_BYTES: Final = 4
_NUMBER_BYTES: Final = 128
"""No node counts so far; what has more digits Python neither prints nor divides."""
Lift = Callable[[Any], object]
"""From a state of one version to the same state of the next."""


def vmstate(name: str, version: int, before: tuple[type, Lift] | None = None) -> Callable[[type[T]], type[T]]:
    """Declare a dataclass as saved state under a name and a version.

    `before`: the class that was the version before this one, and what makes it this one.  StateError if it is none.
    """
    if before is not None and identity(before[0]) != (name, version - 1):
        raise StateError(f"{before[0].__name__} is not version {version - 1} of {name}")

    def declare(cls: type[T]) -> type[T]:
        cls.__vmstate__ = (name, version)  # type: ignore[attr-defined]
        cls.__vmstate_before__ = before  # type: ignore[attr-defined]
        return cls

    return declare


def identity(cls: type) -> tuple[str, int]:
    """The name and version a state was declared with; StateError if it never was."""
    declared = getattr(cls, "__vmstate__", None)
    if declared is None:
        raise StateError(f"{cls.__name__} is not declared as vmstate")
    return typing.cast("tuple[str, int]", declared)


def layouts(cls: type) -> tuple[tuple[type, Lift | None], ...]:
    """Every version of a state that can be read, the oldest first, with what lifts it to the next one."""
    before: tuple[type, Lift] | None = getattr(cls, "__vmstate_before__", None)
    if before is None:
        return ((cls, None),)
    older = layouts(before[0])
    return (*older[:-1], before, (cls, None))


def kept(old: object) -> dict[str, Any]:
    """The fields of a state, for whoever lifts it to the version that has more."""
    return {field.name: getattr(old, field.name) for field in fields(typing.cast("Any", old))}


def versions(*classes: type) -> tuple[tuple[str, int], ...]:
    """Name and version of these states and of all that are nested in them, by name; StateError if one is undeclared."""
    found: dict[str, int] = {}
    for cls in classes:
        _gather(cls, found)
    return tuple(sorted(found.items()))


def _gather(hint: object, found: dict[str, int]) -> None:
    if isinstance(hint, type) and is_dataclass(hint):
        name, version = identity(hint)
        if name not in found:
            found[name] = version
            for inner in typing.get_type_hints(hint).values():
                _gather(inner, found)
    for argument in typing.get_args(hint):
        _gather(argument, found)


def encode(state: object) -> bytes:
    """The canonical bytes of a state."""
    out = bytearray()
    _put(out, state)
    return bytes(out)


def digest(state: object) -> bytes:
    """SHA-256 of the canonical bytes."""
    return hashlib.sha256(encode(state)).digest()


def decode(cls: type[T], data: bytes) -> T:
    """The state in its canonical bytes; StateError if it is another, damaged, or something is left over."""
    reader = _Reader(data)
    value = _reading(cls)(reader)
    if reader.offset != len(data):
        raise StateError(f"{len(data) - reader.offset} bytes are left over behind {identity(cls)[0]}")
    return typing.cast("T", value)


def _put(out: bytearray, value: object) -> None:
    match value:
        case bool():
            out += b"t" if value else b"f"
        case int():
            data = int(value).to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
            _put_sized(out, b"i", data)
        case bytes():
            _put_sized(out, b"b", value)
        case str():
            _put_sized(out, b"s", value.encode())
        case tuple():
            out += b"l" + len(value).to_bytes(_LENGTH_BYTES, "big")
            for item in value:
                _put(out, item)
        case _ if is_dataclass(value) and not isinstance(value, type):
            _put_state(out, value)
        case _:
            raise StateError(f"state cannot hold a {type(value).__name__}")


def _put_sized(out: bytearray, tag: bytes, data: bytes) -> None:
    out += tag + len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _put_state(out: bytearray, state: object) -> None:
    name, version = identity(type(state))
    members = fields(typing.cast("typing.Any", state))
    out += b"d"
    _put(out, name)
    _put(out, version)
    out += len(members).to_bytes(_LENGTH_BYTES, "big")
    for member in members:
        _put(out, getattr(state, member.name))


class _Reader:
    """Walks canonical bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        """So many bytes from here."""
        end = self.offset + size
        if end > len(self._data):
            raise StateError(f"saved state ends at byte {len(self._data)}, in the middle of a value")
        data = self._data[self.offset : end]
        self.offset = end
        return data

    def tag(self, wanted: bytes, hint: object) -> None:
        """One that a value of this type begins with."""
        tag = self.take(1)
        if tag != wanted:
            raise self.misplaced(tag, hint)

    def misplaced(self, tag: bytes, hint: object) -> StateError:
        """The tag that has just been taken begins no value of this type."""
        return StateError(f"byte {self.offset - 1} of saved state: {tag!r} where {hint} belongs")

    def number(self, kind: type[int]) -> bytes:
        """Those of the number that begins here; in one step, for most of what states have are numbers."""
        data, start = self._data, self.offset + 1 + _LENGTH_BYTES
        end = start + int.from_bytes(data[start - _LENGTH_BYTES : start], "big")
        if data[self.offset : start - _LENGTH_BYTES] == b"i" and end <= len(data):
            self.offset = end
            return data[start:end]
        self.tag(b"i", kind)
        return self.take(self.count())

    def count(self) -> int:
        """A length, or how many values follow."""
        return int.from_bytes(self.take(_LENGTH_BYTES), "big")


_Reading = Callable[[_Reader], object]
"""Takes a value of one type."""


def _reading(hint: object) -> _Reading:
    """What takes a value of this type; looked up once for each field of a state, of which there may be thousands."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _bounded(_reading(arguments[0]), arguments[1:])
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda reader: _state(reader, hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004
        return _row(hint, _reading(arguments[0]))
    if origin is tuple:
        return _tuple(hint, tuple(_reading(argument) for argument in arguments))
    return _scalar(hint)


def _bounded(read: _Reading, bounds: typing.Sequence[Bound]) -> _Reading:
    def bounded(reader: _Reader) -> object:
        value = read(reader)
        for bound in bounds:
            if refusal := bound.refusal(value):
                raise StateError(f"saved state ending at byte {reader.offset}: {refusal}")
        return value

    return bounded


def _scalar(hint: object) -> _Reading:
    if hint is bool:
        return _truth
    if isinstance(hint, type) and issubclass(hint, int):
        return _number(hint)
    if hint is bytes:
        return _bytes
    return _text if hint is str else _nothing(hint)


def _truth(reader: _Reader) -> bool:
    tag = reader.take(1)
    if tag not in (b"t", b"f"):
        raise reader.misplaced(tag, bool)
    return tag == b"t"


def _number(kind: type[int]) -> Callable[[_Reader], int]:
    def number(reader: _Reader) -> int:
        data = reader.number(kind)
        if len(data) > _NUMBER_BYTES:
            raise StateError(f"saved state ending at byte {reader.offset}: a number of {len(data)} bytes")
        value = int.from_bytes(data, "big", signed=True)
        try:
            return kind(value)
        except ValueError as error:
            raise StateError(f"saved state ending at byte {reader.offset}: {error}") from error

    return number


def _bytes(reader: _Reader) -> bytes:
    reader.tag(b"b", bytes)
    return reader.take(reader.count())


def _text(reader: _Reader) -> str:
    reader.tag(b"s", str)
    try:
        return reader.take(reader.count()).decode()
    except UnicodeDecodeError as error:
        raise StateError(f"text ending at byte {reader.offset} of saved state is not UTF-8") from error


def _nothing(hint: object) -> _Reading:
    def nothing(reader: _Reader) -> object:
        raise reader.misplaced(reader.take(1), hint)

    return nothing


def _values(reader: _Reader, hint: object) -> int:
    """How many are in the row that begins here."""
    if reader.take(1) != b"l":
        raise StateError(f"byte {reader.offset - 1} of saved state: no tuple where {hint} belongs")
    return reader.count()


def _row(hint: object, read: _Reading) -> _Reading:
    return lambda reader: tuple(read(reader) for _ in range(_values(reader, hint)))


def _tuple(hint: object, reads: tuple[_Reading, ...]) -> _Reading:
    def values(reader: _Reader) -> object:
        count = _values(reader, hint)
        if count != len(reads):
            raise StateError(f"a tuple of {count} where one of {len(reads)} belongs")
        return tuple(read(reader) for read in reads)

    return values


_VERSION: Final = _number(int)


def _state(reader: _Reader, cls: type) -> object:
    name, version = identity(cls)
    if reader.take(1) != b"d":
        raise StateError(f"byte {reader.offset - 1} of saved state: no state where {name} belongs")
    saved_name, saved_version = _text(reader), _VERSION(reader)
    if saved_name != name:
        raise StateError(f"saved state is of {saved_name}, not of {name}")
    kept = layouts(cls)
    oldest = version - len(kept) + 1
    if not oldest <= saved_version <= version:
        reads = str(version) if oldest == version else f"{oldest} to {version}"
        raise StateError(f"saved state of {name} is version {saved_version}, this program reads {reads}")
    ways = kept[saved_version - oldest :]
    value = _fields(reader, ways[0][0])
    for _, lift in ways[:-1]:
        assert lift is not None
        value = lift(value)
    return value


def _fields(reader: _Reader, cls: type) -> object:
    name, _ = identity(cls)
    readings = _readings(cls)
    count = reader.count()
    if count != len(readings):
        raise StateError(f"saved state of {name} has {count} fields, not {len(readings)}")
    values = {}
    for member, read in readings.items():
        try:
            values[member] = read(reader)
        except StateError as error:
            raise StateError(f"{name}.{member}: {error}") from error
    return cls(**values)


@cache
def _readings(cls: type) -> typing.Mapping[str, _Reading]:
    """What takes each field, in the order of declaration."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {member.name: _reading(hints[member.name]) for member in fields(cls)}
