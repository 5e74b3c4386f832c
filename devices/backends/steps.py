"""What the scripts of serial lines and of input devices share: lines, mistakes, time.

Lives here: the words that mean the same in both.
Never here: what a script does (char/scriptfile.py, input/scriptfile.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
LONGEST_DELAY_NS: Final = 1 << 62

Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Delay:
    """Let what follows wait, in virtual nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class QuitRun:
    """End the run."""


class Mistake(Exception):
    """What is wrong with a line."""


def parse_lines(text: str, source: str, parse: Callable[[str, list[Step]], list[Step]]) -> list[Step]:
    """The steps of every line that is neither empty nor a comment; `parse` gets the line and the steps so far.

    BackendError names `source` and the line of a Mistake.
    """
    steps: list[Step] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            steps += parse(stripped, steps)
        except (Mistake, ValueError) as mistake:
            raise BackendError(f"{source}:{number}: {mistake}") from mistake
    return steps


def duration(text: str) -> Delay:
    """A time such as 500ms, 2s or 0.5us; Mistake if it is none."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(ns|us|ms|s)", text)
    if match is None:
        raise Mistake(f"{text!r} is not a time such as 500ms, 2s or 10us")
    fraction, unit = match[2] or "0", UNITS[match[3]]
    # No binary fractions: the delay is part of what must be the same in every run.
    delay_ns = int(match[1]) * unit + int(fraction) * unit // 10 ** len(fraction)
    if delay_ns > LONGEST_DELAY_NS:
        raise Mistake(f"{text!r} is longer than a century")
    return Delay(delay_ns)


def text_body(text: str) -> str:
    """A text as it is written, escapes in it: plain up to a comment, or between double quotes."""
    if not text.startswith('"'):
        return re.sub(r"\s+#.*", "", text)
    match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', text)
    if match is None:
        raise Mistake("the quotes do not close, or something follows them")
    return match[1]
