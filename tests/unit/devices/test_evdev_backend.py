"""Events from the host's event devices: what is said, in which groups, and when."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends.input.evdev import EvdevBackend
from devices.backends.input.kernel import INPUT_EVENT, EvdevFile
from machine.input_events import (
    ABS_MAX,
    ABS_X,
    EV_ABS,
    EV_KEY,
    EV_LED,
    EV_REL,
    EV_SYN,
    REL_X,
    REL_Y,
    ROW_BYTES,
    SYN,
    SYN_DROPPED,
    Event,
    pack_events,
)
from machine.keycodes import KEY_LEFTCTRL, KEY_RIGHTCTRL
from tests.unit.devices.heard import ROOM, A, B, Heard, down, up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Fifo(EvdevFile):
    """An event device whose events come through a pipe and whose ioctls are answered here."""

    def __init__(self, reading: int) -> None:
        # Not the parent's: there is no such device to open.
        self.descriptor = reading
        os.set_blocking(reading, False)
        self.grabs: list[bool] = []
        self.shown: list[Event] = []
        self.held: frozenset[int] = frozenset()

    def grab(self, on: bool) -> None:
        """Remember."""
        self.grabs.append(on)

    def write(self, events: list[Event]) -> None:
        """Remember the LEDs."""
        self.shown += events

    def held_keys(self) -> frozenset[int]:
        """As set."""
        return self.held

    def axis_range(self, axis: int) -> tuple[int, int]:
        """X from 1000 to 3000, nothing else."""
        if axis != ABS_X:
            raise OSError("no such axis")
        return 1000, 3000


class Desk:
    """A backend, its device, and the hands at the device."""

    def __init__(self, *, grab: bool = True) -> None:
        reading, self._writing = os.pipe()
        self.device = Fifo(reading)
        self.heard = Heard()
        self.backend = EvdevBackend("/dev/input/event7", "input0", grab=grab, open_device=lambda _: self.device)
        self.backend.open(self.heard.submit)

    def happen(self, *events: Event, room: int = ROOM) -> list[list[Event]]:
        """These events come from the device; what the guest is told."""
        os.write(self._writing, b"".join(INPUT_EVENT.pack(17, 4, *event) for event in events))
        return self.serve(room)

    def serve(self, room: int = ROOM) -> list[list[Event]]:
        """The shell serves whatever is waited for."""
        for descriptor, reads, _ in self.backend.descriptors(room):
            self.backend.ready(descriptor, reads, False, room)
        return self.heard.groups()

    def unplug(self) -> list[list[Event]]:
        """The device goes away."""
        os.close(self._writing)
        self._writing = -1
        return self.serve()

    def close(self) -> None:
        """Give everything back."""
        self.backend.close()
        if self._writing >= 0:
            os.close(self._writing)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A grabbed device."""
    desk = Desk()
    yield desk
    desk.close()


def test_a_group_goes_to_the_guest_as_it_came_and_whole(desk: Desk) -> None:
    assert desk.device.grabs == [True]
    assert desk.happen(Event(4, 4, 458756), down(A)) == []
    assert desk.happen(SYN) == [[down(A)]]
    assert desk.happen(Event(EV_REL, REL_X, 5), Event(EV_REL, REL_Y, -1), SYN, up(A), SYN) == [
        [Event(EV_REL, REL_X, 5), Event(EV_REL, REL_Y, -1)],
        [up(A)],
    ]


def test_the_hosts_key_repeat_is_not_the_guests(desk: Desk) -> None:
    assert desk.happen(down(A), SYN, Event(EV_KEY, A, 2), SYN, up(A), SYN) == [[down(A)], [up(A)]]


def test_a_place_on_the_hosts_tablet_is_one_on_the_guests(desk: Desk) -> None:
    places = [Event(EV_ABS, ABS_X, value) for value in (1000, 2000, 3000, 9000, 0)]
    said = desk.happen(*(row for place in places for row in (place, SYN)))
    assert [group[0].value for group in said] == [0, ABS_MAX // 2, ABS_MAX, ABS_MAX, 0]
    assert desk.happen(Event(EV_ABS, 1, 77), SYN) == [[Event(EV_ABS, 1, 77)]]


def test_a_guest_without_room_leaves_the_events_with_the_kernel(desk: Desk) -> None:
    one = 2 * ROW_BYTES
    assert desk.happen(down(A), SYN, up(A), SYN, room=one) == [[down(A)]]
    assert desk.backend.descriptors(one - 1) == ()
    assert desk.happen(down(B), SYN, room=one) == [[up(A)], [down(B)]] or desk.serve(one) == [[down(B)]]


def test_keys_whose_events_the_kernel_had_no_room_for_are_asked_for(desk: Desk) -> None:
    desk.happen(down(A), SYN)
    desk.device.held = frozenset((B,))
    lost = (Event(EV_KEY, 99, 1), Event(EV_SYN, SYN_DROPPED, 0), Event(EV_KEY, 98, 1), SYN)
    assert desk.happen(*lost) == [[up(A), down(B)]]
    assert desk.happen(up(B), SYN) == [[up(B)]]


def test_both_ctrl_keys_give_the_keyboard_back_and_take_it_again(desk: Desk) -> None:
    desk.happen(down(KEY_LEFTCTRL), SYN)
    assert desk.happen(down(KEY_RIGHTCTRL), SYN) == [
        [down(KEY_RIGHTCTRL)],
        [up(KEY_LEFTCTRL), up(KEY_RIGHTCTRL)],
    ]
    assert desk.device.grabs == [True, False]
    assert desk.happen(up(KEY_LEFTCTRL), SYN, up(KEY_RIGHTCTRL), SYN, down(A), SYN, up(A), SYN) == []
    assert desk.happen(down(KEY_RIGHTCTRL), SYN, down(KEY_LEFTCTRL), SYN) == []
    assert desk.device.grabs == [True, False, True]
    assert desk.happen(down(A), SYN) == [[down(A)]]


def test_without_a_grab_everything_is_shared_and_ctrl_is_a_key_like_any_other() -> None:
    desk = Desk(grab=False)
    said = desk.happen(down(KEY_LEFTCTRL), SYN, down(KEY_RIGHTCTRL), SYN)
    assert said == [[down(KEY_LEFTCTRL)], [down(KEY_RIGHTCTRL)]]
    assert desk.device.grabs == []
    desk.close()


def test_a_device_that_is_unplugged_lets_its_keys_go_and_is_not_waited_for(desk: Desk) -> None:
    desk.happen(down(A), SYN, down(B))
    assert desk.unplug() == [[up(A)]]
    assert desk.backend.descriptors(ROOM) == ()
    desk.backend.close()


def test_the_guests_leds_are_shown_on_the_device(desk: Desk) -> None:
    caps = Event(EV_LED, 1, 1)
    assert desk.backend.write(pack_events([caps, SYN])).accepted == 2 * ROW_BYTES
    assert desk.device.shown == [caps, SYN]


@given(
    st.lists(st.builds(Event, st.sampled_from((0, 1, 2, 3, 4)), st.integers(0, 800), st.integers(-3, 3)), max_size=120)
)
def test_whatever_a_device_says_the_guest_is_told_whole_groups_and_believes_what_is_true(rows: list[Event]) -> None:
    desk = Desk(grab=False)
    believed: dict[int, int] = {}
    for at in range(0, len(rows), 10):
        for group in desk.happen(*rows[at : at + 10]):
            assert group
            believed |= {event.code: event.value for event in group if event.type == EV_KEY}
            assert all(event.type in (EV_KEY, EV_REL, EV_ABS) for event in group)
    for group in desk.unplug():
        believed |= {event.code: event.value for event in group if event.type == EV_KEY}
    assert not any(believed.values())
    desk.close()


if os.access("/dev/uinput", os.W_OK):
    # Elsewhere there is nothing to try: the host lets nobody make input devices.

    def test_a_keyboard_that_the_host_has_made_is_grabbed_and_heard() -> None:
        made = _made_keyboard()
        heard = Heard()
        backend = EvdevBackend(made.path, "input0")
        backend.open(heard.submit)
        made.say(down(A), SYN)
        for descriptor, _, _ in backend.descriptors(ROOM):
            os.set_blocking(descriptor, True)
            backend.ready(descriptor, True, False, ROOM)
        assert heard.groups() == [[down(A)]]
        backend.close()
        made.destroy()


class _MadeKeyboard:
    """A keyboard of uinput's (Documentation/input/uinput.rst)."""

    def __init__(self, descriptor: int, path: str, ioctl: Callable[..., object]) -> None:
        self._descriptor = descriptor
        self._ioctl = ioctl
        self.path = path

    def say(self, *events: Event) -> None:
        """Press and release."""
        os.write(self._descriptor, b"".join(INPUT_EVENT.pack(0, 0, *event) for event in events))

    def destroy(self) -> None:
        """Unplug it."""
        os.close(self._descriptor)


def _made_keyboard() -> _MadeKeyboard:
    import fcntl  # noqa: PLC0415  # only where there is uinput
    import struct  # noqa: PLC0415

    descriptor = os.open("/dev/uinput", os.O_WRONLY | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, 0x40045564, EV_KEY)  # UI_SET_EVBIT
    fcntl.ioctl(descriptor, 0x40045565, A)  # UI_SET_KEYBIT
    fcntl.ioctl(descriptor, 0x405C5503, struct.pack("@HHHH80sI", 3, 1, 1, 1, b"dejavm test", 0))  # UI_DEV_SETUP
    fcntl.ioctl(descriptor, 0x5501)  # UI_DEV_CREATE
    name = fcntl.ioctl(descriptor, 0x8040552C, bytes(64)).rstrip(b"\0").decode()  # UI_GET_SYSNAME
    (event,) = Path(f"/sys/devices/virtual/input/{name}").glob("event*")
    return _MadeKeyboard(descriptor, f"/dev/input/{event.name}", fcntl.ioctl)
