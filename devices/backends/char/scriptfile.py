"""The language of scripts: one step a line, parsed whole before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from machine.errors import BackendError

UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "e": b"\x1b", "\\": b"\\", '"': b'"', "#": b"#"}
LONGEST_DELAY_NS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait until the bytes have appeared in the output since the last match."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Type bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Delay:
    """Let the next send wait, in virtual nanoseconds after what satisfied the last expect."""

    ns: int


@dataclass(frozen=True, slots=True)
class QuitRun:
    """End the run."""


Step = Expect | Send | Delay | QuitRun


class _Mistake(Exception):
    """What is wrong with a line."""


def parse_script(text: str, source: str) -> list[Step]:
    """The steps of a script; BackendError names `source` and the line."""
    steps: list[Step] = []
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            step = _parse_line(stripped)
            _check_follows(step, steps)
        except _Mistake as mistake:
            raise BackendError(f"{source}:{number}: {mistake}") from mistake
        steps.append(step)
    if steps and isinstance(steps[-1], Delay):
        raise BackendError(f"{source}:{number}: the script ends with a delay, which is for a send")
    return steps


def _check_follows(step: Step, steps: list[Step]) -> None:
    if steps and isinstance(steps[-1], Delay) and not isinstance(step, Delay | Send):
        raise _Mistake("a delay is for a send; write the send behind it")


def _parse_line(line: str) -> Step:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    match word:
        case "expect":
            return Expect(_text(rest))
        case "send":
            return Send(_text(rest))
        case "delay":
            return Delay(_duration(rest))
        case "quit":
            if rest and not rest.startswith("#"):
                raise _Mistake("quit stands alone")
            return QuitRun()
        case _:
            raise _Mistake(f"unknown word {word!r} (known: expect, send, delay, quit)")


def _duration(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s)", text.partition("#")[0].strip())
    if match is None:
        raise _Mistake(f"{text!r} is not a time such as 500ms, 2s or 10us")
    whole, _, fraction = match[1].partition(".")
    unit = UNITS[match[2]]
    # No binary fractions: the delay is part of what must be the same in every run.
    delay_ns: int = int(whole) * unit + int(fraction or "0") * unit // 10 ** len(fraction)
    if delay_ns > LONGEST_DELAY_NS:
        raise _Mistake(f"{text!r} is longer than a century")
    return delay_ns


def _text(text: str) -> bytes:
    """The bytes of a TEXT: plain up to a comment, or between double quotes."""
    if text.startswith('"'):
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', text)
        if match is None:
            raise _Mistake("the quotes do not close, or something follows them")
        body = match[1]
    else:
        body = re.sub(r"\s+#.*", "", text)
    data = _unescape(body)
    if not data:
        raise _Mistake("a text is missing")
    return data


def _unescape(body: str) -> bytes:
    out = bytearray()
    at = 0
    while at < len(body):
        if body[at] != "\\":
            out += body[at].encode()
            at += 1
            continue
        digits = re.match(r"x([0-9a-fA-F]{2})", body[at + 1 :])
        if digits is not None:
            out.append(int(digits[1], 16))
            at += 4
        elif body[at + 1 : at + 2] in ESCAPES:
            out += ESCAPES[body[at + 1]]
            at += 2
        else:
            raise _Mistake(f'unknown escape {body[at : at + 2]!r} (known: \\n \\r \\t \\0 \\e \\xNN \\\\ \\" \\#)')
    return bytes(out)
