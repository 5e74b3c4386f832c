"""Lists of options in QEMU's spelling: `key=value,key=value`, `,,` for a comma in a value, a bare key is `on`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_DIGITS: Final = 20
_SWITCH: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def parse_options(text: str, allowed: Collection[str], where: str) -> dict[str, str]:
    """The options of a word; BackendError, with `where` in front, names one that is unknown or given twice."""
    options: dict[str, str] = {}
    for part in split_commas(text):
        key, equals, value = part.partition("=")
        if key not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BackendError(f"{where}: unknown option {key!r} (known: {known})")
        if key in options:
            raise BackendError(f"{where}: option {key} is given twice")
        options[key] = value if equals else "on"
    return options


def split_commas(text: str) -> list[str]:
    """The parts between single commas, with `,,` made one comma; no parts in an empty text."""
    if not text:
        return []
    return [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]


def join_commas(parts: Collection[str]) -> str:
    """The inverse of split_commas()."""
    return ",".join(part.replace(",", ",,") for part in parts)


def switch(value: str, where: str) -> bool:
    """An option that is on or off; BackendError if it is neither."""
    if value not in _SWITCH:
        raise BackendError(f"{where}: {value!r} is neither on nor off")
    return _SWITCH[value]


def number(value: str, lowest: int, highest: int, where: str) -> int:
    """A decimal number within bounds; BackendError if it is none."""
    if not is_number(value) or not lowest <= int(value) <= highest:
        raise BackendError(f"{where}: {value!r} is not a number from {lowest} to {highest}")
    return int(value)


def is_number(value: str) -> bool:
    """Whether it is one that int() takes: it refuses thousands of digits."""
    return value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS


def check_host(host: str, where: str) -> None:
    """BackendError for what cannot be the name of a host: who looks it up has no other error for it."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise BackendError(f"{where}: {host!r} cannot be a host's name: {error}") from error


def check_word(word: str, name: str) -> None:
    """BackendError for what no backend's word has in it: no name of a file or a host may."""
    if "\0" in word:
        raise BackendError(f"{name}: backend {word!r}: there is a NUL in it")
