"""Events from scripts: what is said, in which groups, and when."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.input.script import InputScriptBackend
from devices.backends.input.scriptfile import Group, parse_input_script
from devices.backends.steps import Delay, QuitRun
from machine.errors import BackendError
from machine.input_events import (
    ABS_X,
    BTN_LEFT,
    EV_ABS,
    EV_REL,
    REL_WHEEL,
    REL_X,
    REL_Y,
    ROW_BYTES,
    Event,
    pack_group,
    unpack_events,
)
from machine.keycodes import KEY_LEFTCTRL, KEY_LEFTSHIFT
from machine.message import HostEvent
from tests.unit.devices.heard import ALT, DELETE, RETURN, ROOM, A, B, Heard, down, up

if TYPE_CHECKING:
    from collections.abc import Sequence


def groups_of(text: str) -> list[list[Event]]:
    """The groups of a script, without their ends."""
    return [unpack_events(step.data)[:-1] for step in parse_input_script(text, "s") if isinstance(step, Group)]


LINES: dict[str, Sequence[Sequence[Event]]] = {
    "key a down": [[down(A)]],
    "key a up": [[up(A)]],
    "key 240 down": [[down(240)]],
    "tap ret": [[down(RETURN)], [up(RETURN)]],
    "tap ctrl-alt-delete": [[down(KEY_LEFTCTRL)], [down(ALT)], [down(DELETE)], [up(DELETE)], [up(ALT)], [up(29)]],
    "type a": [[down(A)], [up(A)]],
    'type "aB"': [[down(A)], [up(A)], [down(KEY_LEFTSHIFT)], [down(B)], [up(B)], [up(KEY_LEFTSHIFT)]],
    'type "\\n"  # and no more': [[down(RETURN)], [up(RETURN)]],
    "move 5 -3": [[Event(EV_REL, REL_X, 5), Event(EV_REL, REL_Y, -3)]],
    "move 0 7": [[Event(EV_REL, REL_Y, 7)]],
    "abs 100 200": [[Event(EV_ABS, ABS_X, 100), Event(EV_ABS, 1, 200)]],
    "button left down": [[down(BTN_LEFT)]],
    "click left": [[down(BTN_LEFT)], [up(BTN_LEFT)]],
    "wheel -1": [[Event(EV_REL, REL_WHEEL, -1)]],
    "event 4 4 458756 1 30 1": [[Event(4, 4, 458756), down(A)]],
    "# nothing": [],
}


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_the_events_that_hands_would_make(line: str) -> None:
    assert groups_of(line) == [list(group) for group in LINES[line]]


MISTAKES = {
    "frob": "unknown word 'frob'",
    "key a": "write: key NAME down|up",
    "key a sideways": "neither down nor up",
    "key zz down": "unknown key 'zz'",
    "key unmapped down": "unknown key 'unmapped'",
    "tap a-": "unknown key ''",
    "type é": "no key has 'é' on it",
    'type "a': "the quotes do not close",
    "type": "a text is missing",
    r"type a\q": "unknown escape",
    "move 1": "write: move DX DY",
    "move 1 99999999999": "not a whole number",
    "button middl down": "unknown button",
    "event 1 2": "write: event TYPE CODE VALUE",
    "event 0 0 0": "are not both in",
    "delay 5": "not a time",
    "delay 9999999999s": "longer than a century",
    "quit now": "write: quit alone",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_with_its_line(line: str) -> None:
    with pytest.raises(BackendError, match="s:2: ") as caught:
        parse_input_script(f"\n{line}\n", "s")
    assert MISTAKES[line] in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_script_or_a_named_mistake(text: str) -> None:
    with suppress(BackendError):
        steps = parse_input_script(text, "s")
        assert all(isinstance(step, Group | Delay | QuitRun) for step in steps)


def test_the_script_of_the_manual_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitor.md").read_text()
    (block,) = [text for text in page.split("```") if text.startswith("\ndelay 2s")]
    words = {line.split()[0] for line in block.split("\n") if line}
    assert len(words) == 11
    assert isinstance(parse_input_script(block, "docs/monitor.md")[-1], QuitRun)


def test_a_delay_is_exact_to_the_nanosecond() -> None:
    assert parse_input_script("delay 0.1s\ndelay 1.000000001s", "s") == [Delay(10**8), Delay(10**9 + 1)]


# The script as a backend.


def script(tmp_path: Path, text: str) -> tuple[InputScriptBackend, Heard]:
    """An opened script."""
    path = tmp_path / "hands"
    path.write_text(text)
    backend = create_backend("input", f"script,path={path}", "input0")
    assert isinstance(backend, InputScriptBackend)
    heard = Heard()
    backend.open(heard.submit)
    return backend, heard


def deliver(backend: InputScriptBackend, heard: Heard, room: int = ROOM) -> tuple[HostEvent, bytes, int]:
    """The broker delivers what was said; the device handles it."""
    (said,) = heard.said
    heard.said.clear()
    backend.passed(said[1], 1, inbound=True)
    backend.advance(room)
    return said


def test_a_script_begins_by_itself_and_each_group_follows_the_delivery_of_the_one_before(tmp_path: Path) -> None:
    backend, heard = script(tmp_path, "delay 2s\nkey a down\ndelay 20ms\ndelay 1ms\nkey a up\nquit\n")
    assert deliver(backend, heard) == (HostEvent.DATA, pack_group([down(A)]), 2 * 10**9)
    assert not backend.wants_quit()
    assert deliver(backend, heard) == (HostEvent.DATA, pack_group([up(A)]), 21 * 10**6)
    assert backend.wants_quit()
    assert heard.said == []


def test_what_others_bring_to_the_device_does_not_move_the_script_on(tmp_path: Path) -> None:
    backend, heard = script(tmp_path, "tap a")
    backend.passed(pack_group([down(B)]), 1, inbound=True)
    backend.passed(pack_group([down(A)]), 1, inbound=False)
    backend.advance(ROOM)
    assert heard.groups() == [[down(A)]]


def test_a_script_waits_for_room(tmp_path: Path) -> None:
    backend, heard = script(tmp_path, "tap a")
    deliver(backend, heard, room=2 * ROW_BYTES - 1)
    assert heard.said == []
    backend.advance(2 * ROW_BYTES)
    assert heard.groups() == [[up(A)]]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("script", "input0: backend script needs a path: script,path=PATH"),
        ("script,path=/none", "input0: cannot read script /none"),
        ("script,pth=x", "unknown option 'pth'"),
        ("evdev,path=/dev/null", "input0: cannot take events of /dev/null"),
        ("evdev,path=/none", "input0: cannot take events of /none"),
        ("evdev,path=x,grab=perhaps", "'perhaps' is neither on nor off"),
        ("none,x=1", "unknown option 'x'"),
        ("hands", "unknown backend 'hands' (known: none, script,path=FILE"),
    ],
)
def test_a_word_that_cannot_be_is_refused_by_name(word: str, told: str) -> None:
    with pytest.raises(BackendError) as caught:
        create_backend("input", word, "input0").open(Heard().submit)
    assert told in str(caught.value)


def test_none_says_nothing_and_takes_everything() -> None:
    backend = create_backend("input", "none", "input0")
    backend.open(Heard().submit)
    assert backend.write(b"12345678").accepted == 8
    assert backend.descriptors(ROOM) == ()
