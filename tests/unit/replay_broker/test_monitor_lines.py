"""The line mode: QEMU's words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine import message as m
from machine.icount import CPU
from machine.input_events import EV_KEY, EV_REL, REL_WHEEL, REL_X, REL_Y, Event, unpack_events
from machine.ringbuf import RingWriter, ring_path
from tests.unit.replay_broker.monitor_stage import KEYBOARD, MOUSE, Theatre

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEFT, RIGHT, MIDDLE = 0x110, 0x111, 0x112


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A machine that is being recorded, its CPU running."""
    theatre = Theatre(tmp_path).begin()
    yield theatre
    theatre.close()


def told(theatre: Theatre, icount: int) -> list[tuple[int, list[Event]]]:
    """What devices are told at the next sync point."""
    return [(target, unpack_events(message.data)[:-1]) for target, message in theatre.delivered(icount)]


def test_help_lists_every_command_and_helps_with_one(theatre: Theatre) -> None:
    client = theatre.lines()
    rows = client.line("help").splitlines()
    assert "stop|s -- stop emulation" in rows
    assert "info replay -- show what is recorded or replayed, and where it stands" in rows
    assert client.line("help sendkey").startswith("sendkey keys [hold_ms] -- send keys")
    assert client.line("? info status") == "info status -- show whether the guest runs\r\n"
    assert client.line("help no") == ""


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_ends_as_the_terminal_has_it(theatre: Theatre, end: bytes) -> None:
    client = theatre.lines()
    for _ in range(2):
        client.send(b"info name" + end)
        assert client.text() == "stage\r\n"


def test_a_return_and_its_newline_may_come_apart(theatre: Theatre) -> None:
    client = theatre.lines()
    client.send(b"info name\r")
    assert client.text() == "stage\r\n"
    client.send(b"\ninfo name\r")
    assert client.text() == "stage\r\n"


def test_an_empty_line_is_a_prompt_and_an_unknown_one_is_named(theatre: Theatre) -> None:
    client = theatre.lines()
    assert client.line("") == ""
    assert client.line("frob 1") == "unknown command: 'frob'\r\n"
    assert client.line("info frob") == "unknown command: 'info frob'\r\n"
    assert client.line('say "x').startswith("Error: No closing quotation")
    assert client.line("stop now") == "Error: write: stop|s\r\n"


def test_stop_and_cont_and_what_status_says(theatre: Theatre) -> None:
    client = theatre.lines()
    assert client.line("info status") == "VM status: running\r\n"
    client.send(b"s\n")
    assert client.silent()
    assert theatre.stage.take() == [(CPU, m.Pause(on=True))]
    theatre.stand_still()
    assert client.text() == ""
    assert client.line("info status") == "VM status: paused\r\n"
    assert client.line("c") == ""
    assert client.line("info status") == "VM status: running\r\n"


def test_quit_quits(theatre: Theatre) -> None:
    assert theatre.lines().line("q") == ""
    assert theatre.host.quits == 1


def test_sendkey_presses_what_qemus_does(theatre: Theatre) -> None:
    client = theatre.lines()
    assert client.line("sendkey ctrl-alt-f1 1") == ""
    pressed = [(target, event.code, event.value) for target, (event,) in told(theatre, 50)]
    assert pressed == [(KEYBOARD, code, 1) for code in (29, 56, 59)]
    assert len(told(theatre, 1_000_050)) == 3
    assert client.line("sendkey 0x1e") == ""
    assert told(theatre, 2_000_000) == [(KEYBOARD, [Event(EV_KEY, 30, 1)])]
    assert client.line("sendkey foo") == "Error: Parameter 'key' does not accept value 'foo'\r\n"
    assert client.line("sendkey 0xff") == "Error: invalid parameter: 0xff\r\n"
    assert client.line("sendkey a x") == "Error: invalid number: x\r\n"
    assert client.line("sendkey a -1") == "Error: keys are held 0 to 3600000 ms, not -1\r\n"


def test_the_mouse_moves_and_its_buttons_are_a_state(theatre: Theatre) -> None:
    client = theatre.lines()
    client.line("mouse_move 5 -3 1")
    moved = [Event(EV_REL, REL_X, 5), Event(EV_REL, REL_Y, -3), Event(EV_REL, REL_WHEEL, -1)]
    assert told(theatre, 50) == [(MOUSE, moved)]
    client.line("mouse_button 5")
    assert told(theatre, 60) == [(MOUSE, [Event(EV_KEY, LEFT, 1), Event(EV_KEY, RIGHT, 1)])]
    client.line("mouse_button 6")
    assert told(theatre, 70) == [(MOUSE, [Event(EV_KEY, LEFT, 0), Event(EV_KEY, MIDDLE, 1)])]
    assert client.line("mouse_button 8").startswith("Error: the buttons are 0 to 7")
    assert client.line("mouse_move 99999999999 0") == "Error: a movement does not fit 32 bits\r\n"


def test_a_backend_is_changed_by_its_word(theatre: Theatre) -> None:
    client = theatre.lines()
    client.send(b"chardev-change serial0 unix:/s,server=on\n")
    assert client.silent()
    assert theatre.host.changes[0][:2] == ("serial0", "unix:/s,server=on")
    theatre.host.changes[0][2]("")
    assert client.text() == ""
    assert client.line("info chardev") == "serial0: filename=unix:/s,server=on\r\n"
    client.send(b"chardev-change serial0 file:/none/x\n")
    assert client.silent()
    theatre.host.changes[1][2]("no such place")
    assert client.text() == "Error: no such place\r\n"


def test_a_ring_buffer_is_shown_for_reading(theatre: Theatre) -> None:
    client = theatre.lines()
    client.send(b"chardev-change serial0 ringbuf\n")
    assert client.silent()
    theatre.host.changes[0][2]("")
    client.text()
    ring = RingWriter(ring_path(theatre.directory, "serial0"), 4096)
    ring.write(b"a\r\nb\n\x1b[m\\\t.")
    assert client.line("ringbuf_read serial0 100") == "a\r\nb\r\n\\u001B[m\\\\\t.\r\n"
    assert client.line("ringbuf_read rtc0 100") == "Error: rtc0 is not a ringbuf device\r\n"
    ring.close()


def test_info_shows_the_machine(theatre: Theatre) -> None:
    client = theatre.lines()
    theatre.record.icount = 77
    assert client.line("info replay") == "Recording execution '/r/a.dejavm': instruction count = 77\r\n"
    assert client.line("info version") == "dejavm 0.1.0\r\n"
    tree = client.line("info qtree")
    assert '  dev: input, id "input0"\r\n    mmio 0000000010001000/0000000000001000, irq 1\r\n    type = "kbd"' in tree
    assert client.line("info").startswith("info status -- ")


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (m.RunMode.NONE, "Record/replay is not active\r\n"),
        (m.RunMode.REPLAY_LIVE, "Replaying execution '/r/a.dejavm': instruction count = 0\r\n"),
    ],
)
def test_info_replay_tells_the_mode(tmp_path: Path, mode: m.RunMode, text: str) -> None:
    theatre = Theatre(tmp_path, mode).begin()
    assert theatre.lines().line("info replay") == text
    theatre.close()


@pytest.mark.parametrize("line", ["sendkey a", "mouse_move 1 1", "mouse_button 1", "system_powerdown", "system_reset"])
def test_a_replay_refuses_by_name_what_the_guest_would_see(tmp_path: Path, line: str) -> None:
    theatre = Theatre(tmp_path, m.RunMode.REPLAY_LOG).begin()
    text = f"Error: {line.split(maxsplit=1)[0]}: this is a replay; what reaches the guest is what was recorded\r\n"
    assert theatre.lines().line(line) == text
    theatre.close()


@given(line=st.text(max_size=80))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_answered(theatre: Theatre, line: str) -> None:
    """One client for each line: quit, stop and changes of backends may be among them."""
    theatre.obedient = True
    client = theatre.lines()
    client.send(line.replace("\r", "").replace("\n", "").encode(errors="replace") + b"\ninfo name\n")
    text = ""
    while not text.endswith("stage\r\n") and theatre.host.changes == []:
        text = client.text()
    theatre.host.changes.clear()
    theatre.record.resume()
    client.close()
