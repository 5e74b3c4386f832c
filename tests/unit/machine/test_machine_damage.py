"""A damaged machine.toml: the recording is refused by the name of the file, or no message is another one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import EXIT_UNREADABLE, LogError
from machine.recording.reader import Recording
from tests.unit.machine.recordings import FRAMES, read_all, write

if TYPE_CHECKING:
    from machine.frame import Frame

edits = st.one_of(
    st.tuples(st.just("flip"), st.integers(0), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.integers(0), st.just(0)),
    st.tuples(st.just("put"), st.integers(0), st.integers(0, 255)),
    st.tuples(st.just("drop"), st.integers(0), st.integers(1, 200)),
)


def damaged(data: bytes, kind: str, at: int, how: int) -> bytes:
    """One edit somewhere."""
    at %= len(data)
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << how]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "put":
        return data[:at] + bytes([how]) + data[at:]
    return data[:at] + data[at + how :]


def read_back(path: Path) -> tuple[list[Frame], LogError | None]:
    """What can be read, and what refuses more."""
    try:
        recording = Recording.open(path)
        assert recording.summary().messages <= len(FRAMES)
        return read_all(recording)
    except LogError as error:
        return [], error


@given(st.lists(edits, min_size=1, max_size=3))
@settings(deadline=None, max_examples=200)
def test_a_damaged_machine_file_is_refused_by_name_or_changes_no_message(done: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "x.dejavm")
        machine = path / "machine.toml"
        data = machine.read_bytes()
        for kind, at, how in done:
            data = damaged(data, kind, at, how) or b"x"
        machine.write_bytes(data)
        frames, error = read_back(path)
        assert frames == list(FRAMES[: len(frames)])
        if error is not None:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            assert error.exit_code == EXIT_UNREADABLE
