"""Keys and mice from QMP: which device gets what, when, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from machine import message as m
from machine.icount import CPU
from machine.input_events import ABS_X, ABS_Y, EV_ABS, EV_KEY, EV_REL, REL_WHEEL, REL_X, REL_Y, Event, unpack_events
from tests.unit.replay_broker.monitor_stage import BOARD, KEYBOARD, MOUSE, TABLET, USB, Theatre, error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, SHIFT, LEFT = 30, 42, 0x110


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A machine that is being recorded, its CPU running."""
    theatre = Theatre(tmp_path).begin()
    yield theatre
    theatre.close()


def key(name: str, *, down: bool = True) -> dict[str, Any]:
    """A key event."""
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


def button(name: str, *, down: bool = True) -> dict[str, Any]:
    """A button event."""
    return {"type": "btn", "data": {"down": down, "button": name}}


def axis(kind: str, name: str, value: int) -> dict[str, Any]:
    """A movement or a place."""
    return {"type": kind, "data": {"axis": name, "value": value}}


def events_of(message: m.HostInput, *, head: bytes = b"") -> list[Event]:
    """The events that a device is told, their end left out."""
    assert message.event is m.HostEvent.DATA
    assert message.data.startswith(head)
    return unpack_events(message.data[len(head) :])[:-1]


def send(theatre: Theatre, *events: dict[str, Any], **more: Any) -> list[tuple[int, m.HostInput]]:
    """Send events through a new client; what is delivered for them."""
    client = theatre.qmp()
    assert client.execute("input-send-event", {"events": list(events), **more}) == {"return": {}}
    client.close()
    return theatre.delivered(theatre.record.icount + 50)


def test_a_key_is_a_recorded_input_of_the_keyboard(theatre: Theatre) -> None:
    ((target, message),) = send(theatre, key("a"))
    assert target == KEYBOARD
    assert events_of(message) == [Event(EV_KEY, A, 1)]
    stamped = [frame for frame in theatre.ledger.frames if frame.target == KEYBOARD]
    assert stamped[-1].icount == 50


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([axis("rel", "x", 3), axis("rel", "y", -4)], (MOUSE, [Event(EV_REL, REL_X, 3), Event(EV_REL, REL_Y, -4)])),
        ([button("left")], (MOUSE, [Event(EV_KEY, LEFT, 1)])),
        ([button("wheel-down")], (MOUSE, [Event(EV_REL, REL_WHEEL, -1)])),
        ([axis("abs", "x", 7), axis("abs", "y", 8)], (TABLET, [Event(EV_ABS, ABS_X, 7), Event(EV_ABS, ABS_Y, 8)])),
        ([axis("abs", "x", 7), button("left")], (TABLET, [Event(EV_ABS, ABS_X, 7), Event(EV_KEY, LEFT, 1)])),
        ([{"type": "key", "data": {"down": False, "key": {"type": "number", "data": 0x9D}}}],
         (KEYBOARD, [Event(EV_KEY, 97, 0)])),
    ],
)  # fmt: skip
def test_each_event_goes_to_the_device_it_belongs_to(
    theatre: Theatre, events: list[dict[str, Any]], expected: tuple[int, list[Event]]
) -> None:
    ((target, message),) = send(theatre, *events)
    assert (target, events_of(message)) == expected


def test_one_command_for_two_devices_is_a_group_for_each(theatre: Theatre) -> None:
    sent = send(theatre, key("shift"), button("left"), key("a"))
    assert [(target, events_of(message)) for target, message in sent] == [
        (KEYBOARD, [Event(EV_KEY, SHIFT, 1), Event(EV_KEY, A, 1)]),
        (MOUSE, [Event(EV_KEY, LEFT, 1)]),
    ]


def test_a_named_device_gets_it_and_on_usb_its_port_is_told(theatre: Theatre) -> None:
    ((target, message),) = send(theatre, key("a"), device="usb0", head=0)
    assert target == USB
    assert events_of(message, head=bytes((2, 1))) == [Event(EV_KEY, A, 1)]
    ((_, message),) = send(theatre, button("right"), device="usb0")
    assert events_of(message, head=bytes((3, 1))) == [Event(EV_KEY, LEFT + 1, 1)]


def test_a_step_of_a_wheel_is_made_when_its_button_goes_down(theatre: Theatre) -> None:
    assert send(theatre, button("wheel-up", down=False)) == []


BAD_EVENTS = {
    "events[0].type": ({"type": "foo", "data": {}}, "Parameter 'events[0].type' does not accept value 'foo'"),
    "down": ({"type": "key", "data": {"down": "x", "key": {"type": "qcode", "data": "a"}}},
             "Invalid parameter type for 'events[0].data.down', expected: boolean"),
    "key": (key("nokey"), "Parameter 'events[0].data.key.data' does not accept value 'nokey'"),
    "unmapped": (key("unmapped"), "unmapped is no key"),
    "number": ({"type": "key", "data": {"down": True, "key": {"type": "number", "data": 255}}},
               "no key has the number 0xff"),
    "more": (axis("rel", "x", 1) | {"y": 1}, "Parameter 'events[0].y' is unexpected"),
    "no data": ({"type": "rel"}, "Parameter 'events[0].data' is missing"),
    "axis": (axis("rel", "z", 1), "Parameter 'events[0].data.axis' does not accept value 'z'"),
    "place": (axis("abs", "x", 0x8000), "a place is 0 to 32767, not 32768"),
    "far": (axis("rel", "x", 1 << 31), "a movement of 2147483648 does not fit 32 bits"),
    "no integer": (axis("rel", "x", 1 << 63), "Invalid parameter type for 'events[0].data.value', expected: integer"),
    "true": ({"type": "rel", "data": {"axis": "x", "value": True}},
             "Invalid parameter type for 'events[0].data.value', expected: integer"),
    "no object": (5, "Invalid parameter type for 'events[0]', expected: object"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_an_event_that_is_none_is_named_and_nothing_of_its_group_is_sent(theatre: Theatre, name: str) -> None:
    event, text = BAD_EVENTS[name]
    client = theatre.qmp()
    assert client.execute("input-send-event", {"events": [event]}) == error(text)
    assert client.execute("input-send-event", {"events": [key("a"), event]})["error"]
    assert theatre.delivered(50) == []


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path, board=BOARD.__class__("poor", sleep=False, devices=BOARD.devices[:2])).begin()
    client = theatre.qmp()
    for events, text in (
        ([key("a")], "this machine has no kbd for a key; give it one: --input kbd"),
        ([axis("rel", "x", 1)], "this machine has no mouse for a movement; give it one: --input mouse"),
        ([axis("abs", "x", 1)], "this machine has no tablet for a place; give it one: --input tablet"),
    ):
        assert client.execute("input-send-event", {"events": events}) == error(text)
    named = client.execute("input-send-event", {"events": [key("a")], "device": "zz"})
    assert named == error("Device 'zz' not found", "DeviceNotFound")
    text = "system_powerdown: no part of this machine has a power button; a keyboard has: --input kbd"
    assert client.execute("system_powerdown") == error(text)
    theatre.close()


def test_keys_that_are_sent_are_held_in_virtual_time_and_released_in_the_other_order(theatre: Theatre) -> None:
    client = theatre.qmp()
    keys = [{"type": "qcode", "data": "shift"}, {"type": "qcode", "data": "a"}]
    assert client.execute("send-key", {"keys": keys, "hold-time": 2}) == {"return": {}}
    assert client.execute("send-key", {"keys": keys[1:]}) == {"return": {}}

    def told(icount: int) -> list[tuple[int, int]]:
        events = [events_of(message) for _, message in theatre.delivered(icount)]
        return [(event.code, event.value) for (event,) in events]

    assert told(1_000) == [(SHIFT, 1), (A, 1)]
    assert told(2_000_999) == []
    assert told(2_001_000) == [(A, 0), (SHIFT, 0), (A, 1)]
    assert told(102_000_999) == []
    assert told(102_001_000) == [(A, 0)]


def test_the_power_button_is_a_key(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.ask("system_powerdown")
    assert client.hear()["event"] == "POWERDOWN"
    assert client.hear() == {"return": {}}
    ((target, message),) = theatre.delivered(50)
    assert (target, events_of(message)) == (KEYBOARD, [Event(EV_KEY, 116, 1)])


def test_a_guest_that_stands_still_gets_no_input(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.ask("stop")
    theatre.stand_still()
    client.hear()
    client.hear()
    assert client.execute("input-send-event", {"events": [key("a")]}) == error("VM not running")


def test_inputs_that_the_guest_does_not_take_are_refused_before_they_fill_the_broker(theatre: Theatre) -> None:
    client = theatre.qmp()
    keys = [{"type": "qcode", "data": "a"}] * 500
    assert client.execute("send-key", {"keys": keys}) == {"return": {}}
    assert client.execute("send-key", {"keys": keys}) == error("1000 inputs wait for the guest already")


@pytest.mark.parametrize("mode", [m.RunMode.REPLAY_LOG, m.RunMode.REPLAY_LIVE])
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("input-send-event", {"events": []}),
        ("send-key", {"keys": []}),
        ("system_powerdown", {}),
        ("system_reset", {}),
    ],
)
def test_a_replay_refuses_by_name_what_the_guest_would_see(
    tmp_path: Path, mode: m.RunMode, command: str, arguments: dict[str, Any]
) -> None:
    theatre = Theatre(tmp_path, mode).begin()
    text = f"{command}: this is a replay; what reaches the guest is what was recorded"
    assert theatre.qmp().execute(command, arguments) == error(text)
    theatre.close()


def test_a_reset_comes_with_the_next_sync_point(theatre: Theatre) -> None:
    assert theatre.qmp().execute("system_reset") == {"return": {}}
    assert theatre.stage.take() == [(CPU, m.Kick())]
