"""The language of scripts: one step a line, parsed whole before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from devices.backends.steps import Delay, Mistake, QuitRun, duration, parse_lines, text_body
from machine.errors import BackendError

ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "e": b"\x1b", "\\": b"\\", '"': b'"', "#": b"#"}


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait until the bytes have appeared in the output since the last match."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Type bytes."""

    data: bytes


Step = Expect | Send | Delay | QuitRun


def parse_script(text: str, source: str) -> list[Step]:
    """The steps of a script; BackendError names `source` and the line.

    A delay lets the next send wait behind what satisfied the last expect.
    """
    steps = parse_lines(text, source, _parse_line)
    if steps and isinstance(steps[-1], Delay):
        raise BackendError(f"{source}:{len(text.splitlines())}: the script ends with a delay, which is for a send")
    return steps


def _check_follows(step: Step, steps: list[Step]) -> None:
    if steps and isinstance(steps[-1], Delay) and not isinstance(step, Delay | Send):
        raise Mistake("a delay is for a send; write the send behind it")


def _parse_line(line: str, steps: list[Step]) -> list[Step]:
    step = _parse_step(line)
    _check_follows(step, steps)
    return [step]


def _parse_step(line: str) -> Step:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    match word:
        case "expect":
            return Expect(_text(rest))
        case "send":
            return Send(_text(rest))
        case "delay":
            return duration(rest.partition("#")[0].strip())
        case "quit":
            if rest and not rest.startswith("#"):
                raise Mistake("quit stands alone")
            return QuitRun()
        case _:
            raise Mistake(f"unknown word {word!r} (known: expect, send, delay, quit)")


def _text(text: str) -> bytes:
    """The bytes of a TEXT: plain up to a comment, or between double quotes."""
    data = _unescape(text_body(text))
    if not data:
        raise Mistake("a text is missing")
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
            raise Mistake(f'unknown escape {body[at : at + 2]!r} (known: \\n \\r \\t \\0 \\e \\xNN \\\\ \\" \\#)')
    return bytes(out)
