"""Input events in QMP's shape (qapi/ui.json, InputEvent) as rows of evdev's.

Lives here: one command's events.  Never here: which device they are for (hands.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.input_events import (
    ABS_MAX,
    ABS_X,
    ABS_Y,
    BUTTONS,
    EV_ABS,
    EV_KEY,
    EV_REL,
    REL_HWHEEL,
    REL_WHEEL,
    REL_X,
    REL_Y,
    VALUE_MAX,
    Event,
)
from machine.keycodes import NUMBERS, QCODES
from replay_broker.monitor.answer import CommandError
from replay_broker.monitor.arguments import Members, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AXES: Final = ("x", "y")
WHEELS: Final = {
    "wheel-up": (REL_WHEEL, 1),
    "wheel-down": (REL_WHEEL, -1),
    "wheel-left": (REL_HWHEEL, -1),
    "wheel-right": (REL_HWHEEL, 1),
}
"""QEMU has a wheel's steps as buttons; a step is made when the button goes down."""


def parse_events(given: Sequence[object]) -> list[Event]:
    """The rows of a list of InputEvents; CommandError names the one that is none."""
    rows = []
    for number, value in enumerate(given):
        event = Members(value, f"events[{number}]")
        parse = _KINDS[event.one_of("type", _KINDS)]
        data = event.members("data")
        row = parse(data)
        data.finish()
        event.finish()
        if row is not None:
            rows.append(row)
    return rows


def parse_key(key: Members) -> int:
    """The evdev code of a KeyValue, a qcode or QEMU's number; CommandError if it has none."""
    if key.one_of("type", ("qcode", "number")) == "qcode":
        code = QCODES[key.one_of("data", QCODES)]
    else:
        number = key.integer("data")
        if number not in NUMBERS:
            raise CommandError(f"no key has the number {number:#x}")
        code = NUMBERS[number]
    key.finish()
    if not code:
        raise CommandError("unmapped is no key")
    return code


def key_by_name(name: str) -> int:
    """The evdev code of a key in `sendkey`: a qcode or a hexadecimal number; CommandError if there is none."""
    if name.startswith("0x"):
        try:
            return NUMBERS[int(name, 16)]
        except (ValueError, KeyError) as error:
            raise CommandError(f"invalid parameter: {name}") from error
    # QEMU's old name for the main Enter key's left neighbour is kept there too.
    code = QCODES[choice("less" if name == "<" else name, QCODES, "key")]
    if not code:
        raise CommandError("unmapped is no key")
    return code


def _key(data: Members) -> Event:
    down = data.boolean("down")
    return Event(EV_KEY, parse_key(data.members("key")), int(down))


def _button(data: Members) -> Event | None:
    down = data.boolean("down")
    name = data.one_of("button", (*BUTTONS, *WHEELS))
    if name in WHEELS:
        return Event(EV_REL, *WHEELS[name]) if down else None
    return Event(EV_KEY, BUTTONS[name], int(down))


def _rel(data: Members) -> Event:
    axis, value = data.one_of("axis", AXES), data.integer("value")
    if abs(value) > VALUE_MAX:
        raise CommandError(f"a movement of {value} does not fit 32 bits")
    return Event(EV_REL, REL_X if axis == "x" else REL_Y, value)


def _abs(data: Members) -> Event:
    axis, value = data.one_of("axis", AXES), data.integer("value")
    if not 0 <= value <= ABS_MAX:
        raise CommandError(f"a place is 0 to {ABS_MAX}, not {value}")
    return Event(EV_ABS, ABS_X if axis == "x" else ABS_Y, value)


_KINDS: Final[Mapping[str, Callable[[Members], Event | None]]] = {
    "key": _key,
    "btn": _button,
    "rel": _rel,
    "abs": _abs,
}
