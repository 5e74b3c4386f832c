"""Keys that are down where a recording is gone on with are let go, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import BROKER, CPU, FIRST_DEVICE
from machine.input_events import BTN_LEFT, EV_ABS, EV_KEY, Event, pack_group
from machine.recording.reader import Recording
from replay_broker.held import HeldKeys, releases
from replay_broker.session.branch import Beginning, BranchSession
from tests.unit.machine.recordings import write
from tests.unit.replay_broker.monitor_stage import BOARD, KEYBOARD, MOUSE, TABLET, USB
from tests.unit.replay_broker.stage import Stage, TalliedLedger, frame_of, say

if TYPE_CHECKING:
    from pathlib import Path

A, SHIFT = 30, 42
SERIAL = FIRST_DEVICE
STORAGE_PORT, USB_KEYBOARD, USB_MOUSE = (bytes((port, 1)) for port in (1, 2, 3))


def keys(*events: tuple[int, int], head: bytes = b"") -> m.HostInput:
    """Keys by their codes, 1 down, 2 repeated, 0 up."""
    return m.HostInput(m.HostEvent.DATA, head + pack_group(Event(EV_KEY, *event) for event in events))


SAID = (
    (SERIAL, m.HostInput(m.HostEvent.DATA, pack_group([Event(EV_KEY, A, 1)]))),
    (KEYBOARD, keys((SHIFT, 1), (A, 1))),
    (KEYBOARD, keys((A, 2))),
    (MOUSE, keys((BTN_LEFT, 1))),
    (MOUSE, keys((BTN_LEFT, 0))),
    (TABLET, m.HostInput(m.HostEvent.DATA, pack_group([Event(EV_ABS, 0, 1)]))),
    (USB, keys((A, 1), head=STORAGE_PORT)),
    (USB, keys((A, 1), head=USB_KEYBOARD)),
    (USB, keys((BTN_LEFT, 1), head=USB_MOUSE)),
    (USB, keys((BTN_LEFT, 0), head=USB_MOUSE)),
    (KEYBOARD, m.HostInput(m.HostEvent.CLOSED)),
    (KEYBOARD, keys((A, 0))),
    (KEYBOARD, keys((SHIFT, 0))),
)


def recorded(directory: Path) -> Recording:
    """All that in one log."""
    frames = [frame_of(message, BROKER, node, 7 * seq, seq) for seq, (node, message) in enumerate(SAID, 1)]
    return Recording.open(write(directory / "x.dejavm", frames, board=BOARD))


def test_what_is_down_behind_a_message_is_released_and_nothing_else(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    assert releases(recording, 1, BOARD) == ()
    assert releases(recording, 4, BOARD) == ((KEYBOARD, keys((SHIFT, 0), (A, 0))), (MOUSE, keys((BTN_LEFT, 0))))
    # What is plugged into a USB port is pulled out there.
    assert releases(recording, len(SAID) - 1, BOARD) == ((KEYBOARD, keys((SHIFT, 0))),)
    assert releases(recording, len(SAID), BOARD) == ()


def test_a_keyboard_that_is_something_else_in_the_branch_is_told_nothing(tmp_path: Path) -> None:
    slots = (replace(slot, options=(("type", "mouse"),)) if slot.name == "input0" else slot for slot in BOARD.devices)
    assert releases(recorded(tmp_path), 2, replace(BOARD, devices=tuple(slots))) == ()


def test_they_are_noted_while_the_log_is_read_for_something_else(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    held = HeldKeys(recording.board, BOARD)
    assert held
    frames = list(recording.frames())[:2]
    assert list(held.noting(frames)) == frames
    assert held.releases() == releases(recording, 2, BOARD)
    bare = replace(BOARD, devices=BOARD.devices[:2])
    assert not HeldKeys(bare, bare)


def test_they_are_released_at_the_first_sync_point_as_the_monitor_would(tmp_path: Path) -> None:
    released = releases(recorded(tmp_path), 2, BOARD)
    stage = Stage()
    session = BranchSession(BOARD, stage.send, TalliedLedger(), Beginning(2, 14, 0, released))
    session.start()
    assert stage.take() == [(CPU, m.Grant(until_icount=14))]
    say(session, m.Sync(), CPU, 14)
    (_, said) = released[0]
    told = m.HostInput(said.event, said.data, by_monitor=True)
    assert stage.take() == [(CPU, m.SyncPoint()), (KEYBOARD, told)]
