"""What a command is given, checked as QEMU's QAPI checks it and complained of in its words.

Lives here: shapes of values.  Never here: what a value means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from replay_broker.monitor.answer import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ANY: Final = "any"
LARGEST: Final = (1 << 63) - 1


class Argument:
    """One argument: its JSON type in QAPI's word, and whether it may be left out."""

    __slots__ = ("kind", "optional")

    def __init__(self, kind: str, *, optional: bool = False) -> None:
        self.kind = kind
        self.optional = optional


def check_arguments(given: Mapping[str, object], known: Mapping[str, Argument], prefix: str = "") -> dict[str, object]:
    """The arguments as they are; CommandError says in QEMU's words what is missing, wrong or too much."""
    for name, argument in known.items():
        if name not in given:
            if not argument.optional:
                raise CommandError(f"Parameter '{prefix}{name}' is missing")
        else:
            check_kind(given[name], argument.kind, prefix + name)
    for name in given:
        if name not in known:
            raise CommandError(f"Parameter '{prefix}{name}' is unexpected")
    return dict(given)


def check_kind(value: object, kind: str, path: str) -> None:
    """CommandError unless a value has a type in QAPI's word; integers have 64 bits."""
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST,
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
        ANY: True,
    }
    if not fits[kind]:
        raise CommandError(f"Invalid parameter type for '{path}', expected: {kind}")


def choice(value: str, known: Collection[str], path: str) -> str:
    """One of an enumeration; CommandError if it is none."""
    if value not in known:
        raise CommandError(f"Parameter '{path}' does not accept value '{value}'")
    return value


class Members:
    """The members of one JSON object, taken by name and type; complaints name the whole path, as QEMU's do."""

    def __init__(self, value: object, path: str) -> None:
        check_kind(value, "object", path)
        assert isinstance(value, dict)
        self._values: dict[str, object] = value
        self._path = path
        self._taken: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._values

    def string(self, name: str, default: str | None = None) -> str:
        """A string; CommandError if it is none, or missing without a default."""
        value = self._take(name, "string", default)
        assert isinstance(value, str)
        return value

    def one_of(self, name: str, known: Collection[str]) -> str:
        """One of an enumeration."""
        return choice(self.string(name), known, self._at(name))

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        """True or false."""
        value = self._take(name, "boolean", default)
        assert isinstance(value, bool)
        return value

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self._take(name, "integer", None)
        assert isinstance(value, int)
        return value

    def members(self, name: str) -> Members:
        """An object within this one."""
        return Members(self._take(name, "object", None), self._at(name))

    def finish(self) -> None:
        """CommandError if there is a member that nobody has taken."""
        for name in self._values:
            if name not in self._taken:
                raise CommandError(f"Parameter '{self._at(name)}' is unexpected")

    def _take(self, name: str, kind: str, default: object) -> object:
        self._taken.add(name)
        if name not in self._values:
            if default is None:
                raise CommandError(f"Parameter '{self._at(name)}' is missing")
            return default
        check_kind(self._values[name], kind, self._at(name))
        return self._values[name]

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
