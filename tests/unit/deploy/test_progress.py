"""The progress line: its words and when it is shown."""

from __future__ import annotations

from io import StringIO

import pytest

from deploy.progress import Progress, Screen, duration


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_recording_shows_instructions_and_rate() -> None:
    assert Progress(0).text(2.0, 190_000_000) == "190,000,000 instructions, 95.0 MIPS"


def test_a_replay_shows_how_much_is_left() -> None:
    text = Progress(1_000_000_000).text(2.0, 200_000_000)
    assert text == "200,000,000 instructions, 100.0 MIPS, 20 %, 8 s left"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    progress = Progress(0)
    for second in range(20):
        progress.text(float(second), 1_000_000 * second)
    assert "50.0 MIPS" not in progress.text(20.0, 19_000_000)
    text = ""
    for second in range(21, 30):
        text = progress.text(float(second), 19_000_000 + 50_000_000 * (second - 20))
    assert "50.0 MIPS" in text


def test_a_run_that_stands_still_knows_no_end() -> None:
    assert "time left unknown" in Progress(100).text(5.0, 0)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_times_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_short_run_shows_nothing() -> None:
    terminal = Terminal()
    Screen(terminal, owned=False).progress(1.9, "half")
    assert terminal.getvalue() == ""


def test_a_terminal_has_one_line_that_is_rewritten_and_taken_away() -> None:
    terminal = Terminal()
    screen = Screen(terminal, owned=False)
    screen.progress(2.1, "one")
    screen.progress(2.3, "two")
    screen.line("serial0: hello")
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kserial0: hello\n"


def test_a_file_gets_a_line_every_ten_seconds() -> None:
    file = StringIO()
    screen = Screen(file, owned=False)
    for tenth in range(0, 250, 2):
        screen.progress(tenth / 10, f"at {tenth}")
    assert file.getvalue() == "at 20\nat 120\nat 220\n"


def test_a_device_that_has_the_terminal_is_not_disturbed() -> None:
    terminal = Terminal()
    screen = Screen(terminal, owned=True)
    screen.progress(5.0, "one")
    screen.line("trouble")
    assert terminal.getvalue() == "trouble\r\n"
