"""Keys and mice of the Debian guest: its evdev reports exactly the events that were sent, and does again at replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from machine.input_events import (
    ABS_MAX,
    ABS_X,
    ABS_Y,
    BTN_LEFT,
    BTN_RIGHT,
    EV_ABS,
    EV_KEY,
    EV_LED,
    EV_REL,
    REL_WHEEL,
    REL_X,
    REL_Y,
    SYN,
    Event,
    pack_events,
    pack_group,
)
from machine.message import HostEvent
from tests.harness.debian_session import POWER_KEY_UNHEEDED, DebianSession
from tests.harness.machine import console
from tests.harness.monitor import Lines, Qmp, Refused, host_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(240)]

EVENT_BYTES: Final = 24
"""struct input_event of a 64-bit guest."""
A, B, SHIFT, CTRL, ALT, POWER = 30, 48, 42, 29, 56, 116
MS: Final = 1000
"""In microseconds."""

COMBINATION: Final = (CTRL, ALT, B)

Timed = tuple[int, Event]
"""Microseconds, event."""


class Watched:
    """The guest's event devices, open since it was made; what each has reported is taken from a file."""

    def __init__(self, session: DebianSession, *numbers: int) -> None:
        self._session = session
        self._taken = dict.fromkeys(numbers, 0)
        for number in numbers:
            # Drivers are loaded while the shell is there already.
            session.do(f"while [ ! -e /dev/input/event{number} ]; do sleep 0.1; done")
            # The shell opens it, so it is open when the prompt comes back.
            said = session.do(f"exec {number + 3}</dev/input/event{number}; cat <&{number + 3} >/tmp/{number} &")
            assert "can't open" not in said, said

    def take(self, number: int, count: int) -> list[Timed]:
        """The next `count` events of a device; they must come, and none may follow them."""
        start = self._taken[number]
        self._taken[number] = end = start + count
        size = f"$(wc -c </tmp/{number})"
        self._session.do(f"while [ {size} -lt {end * EVENT_BYTES} ]; do sleep 0.01; done")
        said = self._session.do(f"od -v -A n -t d2 /tmp/{number}")
        numbers = [int(word) for word in said.split()]
        rows = [numbers[at : at + EVENT_BYTES // 2] for at in range(0, len(numbers), EVENT_BYTES // 2)]
        assert len(rows) == end, rows[end:]
        return [_event(row) for row in rows[start:]]

    def events(self, number: int, *groups: Sequence[Event]) -> list[Timed]:
        """The device reports exactly these groups next; the events with their times."""
        expected = [event for group in groups for event in (*group, SYN)]
        found = self.take(number, len(expected))
        assert [event for _, event in found] == expected
        return found


def _event(row: Sequence[int]) -> Timed:
    words = [word & 0xFFFF for word in row]
    seconds, microseconds = (sum(word << 16 * i for i, word in enumerate(words[at : at + 4])) for at in (0, 4))
    value = words[10] | words[11] << 16
    return seconds * 10**6 + microseconds, Event(words[8], words[9], value - (value >> 31 << 32))


def key(name: str, *, down: bool = True) -> dict[str, object]:
    """A key event of QMP's."""
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


def button(name: str, *, down: bool = True) -> dict[str, object]:
    """A button event of QMP's."""
    return {"type": "btn", "data": {"down": down, "button": name}}


def axis(kind: str, name: str, value: int) -> dict[str, object]:
    """A movement or a place."""
    return {"type": kind, "data": {"axis": name, "value": value}}


def down(code: int) -> Event:
    """A key goes down."""
    return Event(EV_KEY, code, 1)


def up(code: int) -> Event:
    """A key comes up."""
    return Event(EV_KEY, code, 0)


def rel(x: int, y: int) -> list[Event]:
    """A movement."""
    return [Event(EV_REL, REL_X, x), Event(EV_REL, REL_Y, y)]


def test_evdev_reports_exactly_what_the_monitor_was_told(home: Home) -> None:
    with DebianSession(home, "--input", "kbd", "--input", "mouse", "--input", "tablet") as session:
        watched = Watched(session, 0, 1, 2)
        with Qmp(home) as client:

            def send(*events: dict[str, object]) -> None:
                client.execute("input-send-event", events=list(events))

            # A key, held as long as it is; a key with another; a key of which only QEMU's number is known.
            send(key("a"))
            watched.events(0, [down(A)])
            send(key("shift"), key("b"))
            send(key("b", down=False))
            send(key("a", down=False), key("shift", down=False))
            send({"type": "key", "data": {"down": True, "key": {"type": "number", "data": 0x9D}}})
            watched.events(0, [down(SHIFT), down(B)], [up(B)], [up(A), up(SHIFT)], [down(97)])
            # A drag with the mouse, and its wheel.
            send(axis("rel", "x", 3), axis("rel", "y", -4))
            send(button("left"))
            for _ in range(3):
                send(axis("rel", "x", -100), axis("rel", "y", 1))
            send(button("left", down=False))
            send(button("wheel-up"), button("wheel-up", down=False))
            drag = [rel(-100, 1)] * 3
            watched.events(1, rel(3, -4), [down(BTN_LEFT)], *drag, [up(BTN_LEFT)], [Event(EV_REL, REL_WHEEL, 1)])
            # Places on the tablet, and a button where it is.
            send(axis("abs", "x", 100), axis("abs", "y", ABS_MAX))
            send(axis("abs", "x", 200), button("right"))
            place = [Event(EV_ABS, ABS_X, 100), Event(EV_ABS, ABS_Y, ABS_MAX)]
            watched.events(2, place, [Event(EV_ABS, ABS_X, 200), down(BTN_RIGHT)])
            # Two devices at once.
            send(key("a"), axis("rel", "x", 7))
            watched.events(0, [down(A)])
            watched.events(1, [Event(EV_REL, REL_X, 7)])
    inputs = [(name, message.data) for name, message in host_inputs(session.recording) if name != "serial0"]
    assert inputs[-2:] == [("input0", pack_group([down(A)])), ("input1", pack_group(rel(7, 0)[:1]))]
    home.verify_both_ways(session.recording)


def test_keys_that_are_sent_are_held_in_the_guests_own_time(home: Home) -> None:
    with DebianSession(home, "--input", "kbd") as session:
        session.do(POWER_KEY_UNHEEDED)
        watched = Watched(session, 0)
        with Lines(home) as lines, Qmp(home) as client:
            assert lines.line("sendkey ctrl-alt-b 40") == ""
            pressed, released = ([down(code)] for code in COMBINATION), ([up(code)] for code in COMBINATION[::-1])
            found = watched.events(0, *pressed, *released)
            assert 39 * MS < found[-1][0] - found[0][0] < 45 * MS
            for name in ("a", "b"):
                client.execute("send-key", keys=[{"type": "qcode", "data": name}], hold_time=20)
            found = watched.events(0, [down(A)], [up(A)], [down(B)], [up(B)])
            times = [time for time, _ in found[::2]]
            for time, wait in zip(times, (0, 20, 20, 40), strict=True):
                assert -MS < time - times[0] - wait * MS < 5 * MS
            client.execute("system_powerdown")
            assert client.await_event("POWERDOWN")
            watched.events(0, [down(POWER)], [up(POWER)])
    home.verify_both_ways(session.recording)


def test_a_script_types_moves_and_waits_in_the_guests_own_time(home: Home) -> None:
    keys = home.file("keys", 'type "aB"\ndelay 30ms\nkey a down\ndelay 5ms\nkey a up\n')
    drag = home.file("drag", "move 5 -3\nbutton left down\ndelay 10ms\nmove 1 1\nbutton left up\nwheel -1\n")
    with DebianSession(home, "--input", "kbd", "--input", "mouse", "--sleep", "off") as session:
        watched = Watched(session, 0, 1)
        with Qmp(home) as client:
            # Begun now, when the guest has opened its devices.
            client.execute("chardev-change", id="input0", backend=f"script,path={keys}")
            client.execute("chardev-change", id="input1", backend=f"script,path={drag}")
        typed = ([down(A)], [up(A)], [down(SHIFT)], [down(B)], [up(B)], [up(SHIFT)], [down(A)], [up(A)])
        found = watched.events(0, *typed)
        # The guest looks at its clock a few microseconds after each delivery.
        assert 29 * MS < found[-4][0] - found[-6][0] < 31 * MS
        assert 4 * MS < found[-2][0] - found[-4][0] < 6 * MS
        wheel = [Event(EV_REL, REL_WHEEL, -1)]
        moved = watched.events(1, rel(5, -3), [down(BTN_LEFT)], rel(1, 1), [up(BTN_LEFT)], wheel)
        assert 9 * MS < moved[5][0] - moved[3][0] < 11 * MS
    home.verify_both_ways(session.recording)


def test_a_script_that_types_before_anybody_listens_is_heard_and_the_light_it_turns_on_is_output(home: Home) -> None:
    path = home.file("kbd", "tap caps_lock\n")
    with DebianSession(home, "--input", f"kbd,script={path}") as session:
        # The kernel's own keyboard handler does this, as soon as there is a driver.
        session.do("while ! grep -q 1 /sys/class/leds/input*::capslock/brightness; do sleep 0.1; done")
    assert pack_events([Event(EV_LED, 1, 1)]) in console(session.recording, "input0")
    home.verify_both_ways(session.recording)


def test_another_script_takes_over_while_the_guest_runs(home: Home) -> None:
    path = home.file("later", "tap a\n")
    with DebianSession(home, "--input", "kbd") as session:
        watched = Watched(session, 0)
        with Qmp(home) as client:
            client.execute("chardev-change", id="input0", backend=f"script,path={path}")
            watched.events(0, [down(A)], [up(A)])
            with pytest.raises(Refused, match="cannot read script /none"):
                client.execute("chardev-change", id="input0", backend="script,path=/none")
            client.execute("input-send-event", events=[key("b")])
            watched.events(0, [down(B)])
    home.verify_both_ways(session.recording)


def test_a_usb_keyboard_and_a_usb_mouse_are_reached_by_name_and_by_default(home: Home) -> None:
    with DebianSession(home, "--usb", "kbd", "--usb", "mouse") as session:
        session.do("while [ ! -e /dev/input/event1 ]; do sleep 0.1; done")
        watched = Watched(session, 0, 1)
        with Qmp(home) as client:
            client.execute("input-send-event", events=[key("a")])
            client.execute("input-send-event", events=[key("a", down=False)], device="usb0")
            client.execute("input-send-event", events=[axis("rel", "x", 3), axis("rel", "y", -4)])
            client.execute("input-send-event", events=[button("right")])
        scan = Event(4, 4, 0x70004)  # EV_MSC, MSC_SCAN: the kernel's HID driver tells the usage, too
        watched.events(0, [scan, down(A)], [scan, up(A)])
        watched.events(1, rel(3, -4), [Event(4, 4, 0x90002), down(BTN_RIGHT)])
    kinds = {name for name, message in host_inputs(session.recording) if message.event is HostEvent.DATA}
    assert kinds == {"serial0", "usb0"}
    home.verify_both_ways(session.recording)
