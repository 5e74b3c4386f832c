"""TOML of anybody's: what Python's reader does not refuse, or refuses in other ways, is refused here in one."""

from __future__ import annotations

import tomllib
from typing import Any, Final

HIGHEST_BYTES: Final = 1 << 20
"""Of a board or of what a recording says of itself: a hundred times what the largest has."""
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1
"""TOML 1.0 asks for 64 bits with a sign; instruction counts have none."""


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML document says; TOMLDecodeError for one that is none, is too long or too deep, or has such numbers."""
    if len(text) > HIGHEST_BYTES:
        raise tomllib.TOMLDecodeError(f"longer than {HIGHEST_BYTES} bytes")
    try:
        # JSON has halves of characters, which no file can hold.
        text.encode()
        data = tomllib.loads(text)
        _check_numbers(data)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("tables or lists are nested too deep") from error
    except tomllib.TOMLDecodeError:
        raise
    except UnicodeEncodeError as error:
        raise tomllib.TOMLDecodeError("half a character is not UTF-8") from error
    except ValueError as error:
        # Python does not read numbers of thousands of digits.
        raise tomllib.TOMLDecodeError("a number has too many digits") from error
    return data


def _check_numbers(value: object) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _check_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner)
    elif isinstance(value, int) and not _LOWEST <= value <= _HIGHEST:
        raise tomllib.TOMLDecodeError("a number does not fit 64 bits")
