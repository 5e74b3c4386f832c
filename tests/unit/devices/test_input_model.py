"""Keyboard, mouse and tablet say what they can do, hand over whole groups of events, and lose no half of one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.input import SPEC
from devices.input import registers as i
from devices.input.kinds import KINDS
from devices.input.model import Input, create_input
from devices.input.state import GROUP_LIMIT, HELD_LIMIT
from devices.virtio import registers as r
from machine import input_events as e
from machine.errors import BoardError
from machine.input_events import Event, pack_events, pack_group, unpack_events
from machine.keycodes import QCODES
from machine.message import HostEvent
from tests.harness.virtio_driver import Driver

A, B = 30, 48
PRESS, RELEASE = Event(e.EV_KEY, A, 1), Event(e.EV_KEY, A, 0)


class Hand(Driver):
    """A driver of an input device."""

    def __init__(self, kind: str = "kbd", *, buffers: int = 64) -> None:
        self.device = Input(kind)
        super().__init__(self.device)
        self.start()
        self.offer_buffers(buffers)

    def offer_buffers(self, count: int) -> None:
        for _ in range(count):
            self.queues[0].add(writable=[8])
        self.queues[0].kick()
        self.flush()

    def come(self, *groups: list[Event]) -> None:
        self.cpu.host_input(HostEvent.DATA, b"".join(map(pack_group, groups)))

    def got(self) -> list[Event]:
        return [event for row in self.queues[0].filled() for event in unpack_events(row)]

    def select(self, select: int, subsel: int = 0) -> bytes:
        """As Linux does it: two stores, the size, the data byte by byte."""
        self.store(r.CONFIG, select, 1)
        self.store(r.CONFIG + 1, subsel, 1)
        size = self.load(r.CONFIG + 2, 1)
        return bytes(self.load(r.CONFIG + 8 + at, 1) for at in range(size))

    def tell(self, *rows: bytes) -> None:
        """The guest's own events, each in a buffer."""
        for row in rows:
            self.queues[1].add([row])
        self.queues[1].kick()
        self.flush()


def codes(bitmap: bytes) -> set[int]:
    return {at * 8 + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1}


@pytest.mark.parametrize(
    ("kind", "name", "product"), [("kbd", "keyboard", 1), ("mouse", "mouse", 2), ("tablet", "tablet", 3)]
)
def test_a_device_says_its_name_and_numbers(kind: str, name: str, product: int) -> None:
    hand = Hand(kind)
    assert hand.load(r.DEVICE_ID) == 18
    assert hand.select(i.SELECT_ID_NAME) == f"dejavm {name}".encode()
    assert hand.select(i.SELECT_ID_SERIAL) == f"dejavm-{kind}".encode()
    assert i.DEVIDS.unpack(hand.select(i.SELECT_ID_DEVIDS)) == (6, 0x1AF4, product, 1)
    assert hand.select(i.SELECT_PROP_BITS) == b""
    assert hand.load(r.CONFIG, 2) == i.SELECT_PROP_BITS


def test_a_keyboard_has_every_key_that_has_a_name_and_three_leds() -> None:
    hand = Hand("kbd")
    keys = codes(hand.select(i.SELECT_EV_BITS, e.EV_KEY))
    assert set(QCODES.values()) - {0} <= keys
    assert not keys & {0, e.BTN_LEFT}
    assert codes(hand.select(i.SELECT_EV_BITS, e.EV_LED)) == {0, 1, 2}
    assert len(hand.select(i.SELECT_EV_BITS, 0x14)) == 1
    assert hand.select(i.SELECT_EV_BITS, e.EV_REL) == hand.select(i.SELECT_EV_BITS, e.EV_ABS) == b""


def test_a_small_modprobe_finds_the_keyboards_driver() -> None:
    # drivers/input/input.c, input_print_modalias; modutils.h of busybox, MODULE_NAME_LEN.
    keys = sorted(code for code in codes(Hand("kbd").select(i.SELECT_EV_BITS, e.EV_KEY)) if code >= 0x71)
    modalias = f"input:b0006v1AF4p0001e0001-e0,1,11,14,k{','.join(f'{code:X}' for code in keys)},raml0,1,2,sfw"
    assert len(modalias) <= 255


def test_a_mouse_has_buttons_axes_and_wheels() -> None:
    hand = Hand("mouse")
    buttons = codes(hand.select(i.SELECT_EV_BITS, e.EV_KEY))
    assert buttons == {e.BTN_LEFT, e.BTN_RIGHT, e.BTN_MIDDLE, e.BTN_SIDE, e.BTN_EXTRA}
    assert codes(hand.select(i.SELECT_EV_BITS, e.EV_REL)) == {e.REL_X, e.REL_Y, e.REL_WHEEL, e.REL_HWHEEL}
    assert hand.select(i.SELECT_ABS_INFO, e.ABS_X) == b""


def test_a_tablet_says_how_wide_it_is() -> None:
    hand = Hand("tablet")
    assert codes(hand.select(i.SELECT_EV_BITS, e.EV_ABS)) == {e.ABS_X, e.ABS_Y}
    for axis in (e.ABS_X, e.ABS_Y):
        assert i.ABS_INFO.unpack(hand.select(i.SELECT_ABS_INFO, axis)) == (0, 0x7FFF, 0, 0, 0)
    assert hand.select(i.SELECT_ABS_INFO, 2) == b""


def test_looking_at_what_was_selected_costs_no_call() -> None:
    hand = Hand()
    before = hand.cpu.calls
    hand.select(i.SELECT_EV_BITS, e.EV_KEY)
    assert hand.cpu.calls == before + 2


def test_both_selectors_can_be_stored_at_once_and_nothing_else_can() -> None:
    hand = Hand()
    hand.store(r.CONFIG, e.EV_LED << 8 | i.SELECT_EV_BITS, 2)
    assert hand.load(r.CONFIG + 8, 1) == 0b111
    hand.store(r.CONFIG + 2, 0xFF, 1)
    hand.store(r.CONFIG + 8, 0xFFFF_FFFF)
    assert hand.load(r.CONFIG + 2, 1) == 1
    assert hand.load(r.CONFIG + 8, 8) == 0b111


@pytest.mark.parametrize(
    ("options", "says"), [({"type": "joystick"}, "kbd, mouse, tablet"), ({"type": 1}, "string"), ({"x": 1}, "type")]
)
def test_a_wrong_option_is_named(options: dict[str, str | int], says: str) -> None:
    with pytest.raises(BoardError, match=rf"^options\..*{says}"):
        create_input(options)


def test_the_type_is_the_boards_and_stays_at_power_on() -> None:
    assert SPEC.create({}).state.kind == "kbd"
    hand = Hand("tablet")
    hand.cpu.reset()
    assert hand.device.state.kind == "tablet"


def test_a_group_is_one_store_one_interrupt_and_ends() -> None:
    hand = Hand()
    hand.context.writes.clear()
    hand.come([PRESS], [RELEASE, Event(e.EV_KEY, B, 1)])
    assert len(hand.context.writes) <= 2
    assert hand.got() == [PRESS, e.SYN, RELEASE, Event(e.EV_KEY, B, 1), e.SYN]
    assert hand.interrupted() == r.INTERRUPT_QUEUE


def test_events_that_the_device_does_not_have_never_reach_the_guest() -> None:
    mouse = Hand("mouse")
    moved = Event(e.EV_REL, e.REL_X, -5)
    mouse.come([PRESS], [PRESS, moved, Event(e.EV_ABS, 0, 3)], [Event(e.EV_SYN, e.SYN_DROPPED, 0)])
    assert mouse.got() == [moved, e.SYN]
    assert mouse.device.state.undeclared == 4
    keyboard = Hand("kbd")
    keyboard.come([Event(e.EV_LED, 0, 1)])
    assert keyboard.got() == []


def test_events_wait_for_buffers_and_the_guest_is_asked_for_them() -> None:
    hand = Hand(buffers=1)
    hand.come([PRESS])
    assert hand.got() == [PRESS]
    before = hand.queues[0].available
    hand.queues[0].add(writable=[8])
    assert hand.queues[0].wants_kick(before)
    hand.queues[0].kick()
    hand.flush()
    assert hand.got() == [e.SYN]


def test_what_is_typed_before_the_guest_listens_is_not_lost() -> None:
    hand = Hand(buffers=0)
    hand.store(r.STATUS, 0)
    hand.come([PRESS])
    hand.start()
    hand.come([RELEASE])
    hand.offer_buffers(8)
    assert hand.got() == [PRESS, e.SYN, RELEASE, e.SYN]


def test_a_group_that_does_not_fit_is_lost_as_a_whole() -> None:
    hand = Hand(buffers=0)
    for count in range(HELD_LIMIT // 16):
        assert hand.device.input_room() == HELD_LIMIT - 16 * count
        hand.come([Event(e.EV_KEY, 1 + count % 80, count % 2)])
    assert hand.device.input_room() == 0
    hand.come([PRESS], [RELEASE, PRESS])
    assert hand.device.state.lost_groups == 2
    hand.offer_buffers(4)
    hand.got()
    hand.come([PRESS, RELEASE])
    assert hand.device.state.lost_groups == 2
    assert hand.device.state.held.endswith(pack_group([PRESS, RELEASE]))


def test_a_group_without_end_is_lost_and_the_next_is_not() -> None:
    hand = Hand()
    hand.cpu.host_input(HostEvent.DATA, pack_events([PRESS] * (GROUP_LIMIT // 8 + 50)))
    assert len(hand.device.state.group) == GROUP_LIMIT
    hand.come([], [RELEASE])
    assert hand.got() == [RELEASE, e.SYN]
    assert hand.device.state.lost_groups == 1


@settings(max_examples=80, deadline=None)
@given(
    groups=st.lists(
        st.lists(st.builds(Event, st.just(e.EV_KEY), st.integers(1, 80), st.integers(0, 1)), min_size=1, max_size=5),
        max_size=20,
    ),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    buffers=st.lists(st.integers(0, 8), min_size=1, max_size=40),
)
def test_however_messages_are_cut_and_buffers_come_the_guest_gets_all(
    groups: list[list[Event]], cuts: list[int], buffers: list[int]
) -> None:
    hand = Hand(buffers=0)
    rows = b"".join(map(pack_group, groups))
    got: list[Event] = []
    turn = 0
    while rows:
        size = 8 * cuts[turn % len(cuts)]
        hand.cpu.host_input(HostEvent.DATA, rows[:size])
        rows = rows[size:]
        hand.offer_buffers(min(buffers[turn % len(buffers)], hand.queues[0].free))
        got += hand.got()
        turn += 1
    hand.offer_buffers(hand.queues[0].free)
    got += hand.got()
    while hand.device.state.held:
        hand.offer_buffers(hand.queues[0].free)
        got += hand.got()
    assert got == [event for group in groups for event in (*group, e.SYN)]


LED_ON, LED_OFF = pack_events([Event(e.EV_LED, 1, 1)]), pack_events([Event(e.EV_LED, 1, 0)])


def test_leds_go_to_the_backend_in_one_message() -> None:
    hand = Hand()
    hand.tell(LED_ON, LED_OFF)
    assert hand.context.outputs == [LED_ON + LED_OFF]
    assert len(hand.queues[1].returned()) == 2


def test_a_status_buffer_that_is_too_short_is_no_event() -> None:
    hand = Hand()
    hand.tell(LED_ON, LED_ON[:7], LED_OFF + b"more")
    assert hand.context.outputs == [LED_ON + LED_OFF]
    assert len(hand.queues[1].returned()) == 3


def test_a_backend_that_is_full_gets_the_rest_later() -> None:
    hand = Hand()
    hand.context.takes = 12
    hand.tell(LED_ON, LED_OFF)
    hand.tell(LED_ON)
    assert len(hand.queues[1].returned()) == 2
    hand.context.takes = None
    hand.context.outputs.clear()
    hand.cpu.host_input(HostEvent.WRITABLE)
    assert hand.context.outputs == [LED_OFF, LED_ON]
    assert len(hand.queues[1].returned()) == 1


def test_a_backend_that_fails_loses_leds_and_the_guest_goes_on() -> None:
    hand = Hand()
    hand.context.broken = True
    hand.tell(LED_ON, LED_OFF)
    assert hand.device.state.lost_status == 2
    assert len(hand.queues[1].returned()) == 2


def test_every_answer_fits_the_configuration_space() -> None:
    assert all(len(data) <= i.CONFIG_DATA_BYTES for kind in KINDS.values() for data in kind.answers.values())
