"""The language of input scripts: what hands do, one thing a line, parsed whole before anything runs.

docs/monitor.md describes it for users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.backends.steps import Delay, Mistake, QuitRun, duration, parse_lines, text_body
from machine.input_events import (
    ABS_X,
    ABS_Y,
    BUTTONS,
    CODE_MAX,
    EV_ABS,
    EV_KEY,
    EV_REL,
    REL_HWHEEL,
    REL_WHEEL,
    REL_X,
    REL_Y,
    VALUE_MAX,
    Event,
    pack_group,
)
from machine.keycodes import KEY_LEFTSHIFT, QCODES, typed_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_GROUP: Final = 64
"""Events that `event` takes in one line."""


@dataclass(frozen=True, slots=True)
class Group:
    """What happens at once: rows of events, SYN_REPORT last."""

    data: bytes


Step = Group | Delay | QuitRun


def parse_input_script(text: str, source: str) -> list[Step]:
    """The steps of a script; BackendError names `source` and the line.

    A delay lets the next group wait behind the delivery of the one before it.
    """
    return parse_lines(text, source, lambda line, _: _parse_line(line))


def _parse_line(line: str) -> list[Step]:
    word, _, rest = line.partition(" ")
    if word == "type":
        return _type(_quoted(rest))
    parse = _WORDS.get(word)
    if parse is None:
        raise Mistake(f"unknown word {word!r} (known: {', '.join(sorted((*_WORDS, 'type')))})")
    return parse(rest.partition(" #")[0].split())


def _group(*events: Event) -> Step:
    return Group(pack_group(events))


def _key(words: list[str]) -> list[Step]:
    """`key NAME down|up`."""
    name, way = _exactly(words, 2, "key NAME down|up")
    return [_group(Event(EV_KEY, key_code(name), _down(way)))]


def _tap(words: list[str]) -> list[Step]:
    """`tap NAME[-NAME...]`: the keys go down in this order and up in the other."""
    (names,) = _exactly(words, 1, "tap NAME, or several keys held together: tap ctrl-alt-delete")
    codes = [key_code(name) for name in names.split("-")]
    downs = [_group(Event(EV_KEY, code, 1)) for code in codes]
    return downs + [_group(Event(EV_KEY, code, 0)) for code in reversed(codes)]


def _type(text: str) -> list[Step]:
    steps: list[Step] = []
    for character in text:
        key = typed_key(character)
        if key is None:
            raise Mistake(f"no key has {character!r} on it")
        code, shifted = key
        keys = [KEY_LEFTSHIFT, code] if shifted else [code]
        steps += [_group(Event(EV_KEY, key, 1)) for key in keys]
        steps += [_group(Event(EV_KEY, key, 0)) for key in reversed(keys)]
    return steps


def _move(words: list[str]) -> list[Step]:
    """`move DX DY`."""
    x, y = map(_whole, _exactly(words, 2, "move DX DY"))
    return [_group(*(Event(EV_REL, code, value) for code, value in ((REL_X, x), (REL_Y, y)) if value))]


def _abs(words: list[str]) -> list[Step]:
    """`abs X Y`."""
    x, y = map(_whole, _exactly(words, 2, "abs X Y"))
    return [_group(Event(EV_ABS, ABS_X, x), Event(EV_ABS, ABS_Y, y))]


def _button(words: list[str]) -> list[Step]:
    """`button NAME down|up`."""
    name, way = _exactly(words, 2, "button NAME down|up")
    return [_group(Event(EV_KEY, _button_code(name), _down(way)))]


def _click(words: list[str]) -> list[Step]:
    """`click NAME`."""
    (name,) = _exactly(words, 1, "click NAME")
    code = _button_code(name)
    return [_group(Event(EV_KEY, code, 1)), _group(Event(EV_KEY, code, 0))]


def _wheel(words: list[str]) -> list[Step]:
    """`wheel N`."""
    return [_group(Event(EV_REL, REL_WHEEL, _whole(_exactly(words, 1, "wheel N")[0])))]


def _hwheel(words: list[str]) -> list[Step]:
    """`hwheel N`."""
    return [_group(Event(EV_REL, REL_HWHEEL, _whole(_exactly(words, 1, "hwheel N")[0])))]


def _event(words: list[str]) -> list[Step]:
    """`event TYPE CODE VALUE ...`: a group in evdev's own numbers."""
    if not words or len(words) % 3 or len(words) > 3 * LARGEST_GROUP:
        raise Mistake(f"write: event TYPE CODE VALUE, at most {LARGEST_GROUP} times in a line")
    numbers = [_whole(word) for word in words]
    rows = [Event(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)]
    for row in rows:
        if not 0 < row.type <= CODE_MAX or not 0 <= row.code <= CODE_MAX:
            raise Mistake(f"type {row.type} and code {row.code} are not both in 1 or 0 to {CODE_MAX}")
    return [_group(*rows)]


def _delay(words: list[str]) -> list[Step]:
    """`delay TIME`."""
    (text,) = _exactly(words, 1, "delay TIME")
    return [duration(text)]


def _quit(words: list[str]) -> list[Step]:
    """`quit`."""
    _exactly(words, 0, "quit alone")
    return [QuitRun()]


_WORDS: Final[Mapping[str, Callable[[list[str]], list[Step]]]] = {
    "key": _key,
    "tap": _tap,
    "move": _move,
    "abs": _abs,
    "button": _button,
    "click": _click,
    "wheel": _wheel,
    "hwheel": _hwheel,
    "event": _event,
    "delay": _delay,
    "quit": _quit,
}


def key_code(name: str) -> int:
    """The evdev code of a key by QEMU's name, or by its number; ValueError if there is none."""
    code = QCODES.get(name, 0)
    if not code and name.isascii() and name.isdigit() and len(name) > 1:
        code = int(name)
    if not 0 < code <= CODE_MAX:
        raise ValueError(f"unknown key {name!r} (QEMU's names: a, ret, spc, shift, f1, kp_5, ..., or a number above 9)")
    return code


def _button_code(name: str) -> int:
    if name not in BUTTONS:
        raise Mistake(f"unknown button {name!r} (known: {', '.join(BUTTONS)})")
    return BUTTONS[name]


def _exactly(words: list[str], count: int, form: str) -> list[str]:
    if len(words) != count:
        raise Mistake(f"write: {form}")
    return words


def _down(word: str) -> int:
    if word not in ("down", "up"):
        raise Mistake(f"{word!r} is neither down nor up")
    return int(word == "down")


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,10}", text, re.ASCII) or not -VALUE_MAX <= int(text) <= VALUE_MAX:
        raise Mistake(f"{text!r} is not a whole number of 32 bits")
    return int(text)


def _quoted(text: str) -> str:
    """A text alone or between double quotes, with \\n, \\t, \\\\ and \\" in it."""
    escapes = {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}

    def plain(match: re.Match[str]) -> str:
        if match[1] not in escapes:
            raise Mistake(f'unknown escape \\{match[1]} (known: \\n \\t \\\\ \\")')
        return escapes[match[1]]

    text = re.sub(r"\\(.?)", plain, text_body(text.strip()))
    if not text:
        raise Mistake("a text is missing")
    return text
