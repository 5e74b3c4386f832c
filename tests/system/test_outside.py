"""A device and backends of somebody else's package, in every mode: docs/api.md keeps its word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import BARE, guest
from tests.harness.machine import ROOT, console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system
PACKAGE = ROOT / "tests" / "outside"
ENV = {"PYTHONPATH": f"{ROOT}:{PACKAGE}"}
EXIT_USAGE = 2


def _machine(home: Home, *, device: str = "SPEC", backend: str = "Notebook") -> tuple[str | Path, ...]:
    """A board with the stopwatch where the `poke` guest looks for it, and the guest."""
    board = home.file(
        "board.toml",
        f"""{BARE}
[[device]]
name = "watch0"
kind = "dejavm_outside.stopwatch:{device}"
address = 0x10011000
compatible = ["dejavm,poke"]
backend = "module:dejavm_outside.notebook:{backend},{home.work}/notes"
""",
    )
    return board, "--kernel", guest("poke"), "--serial", "null"


def _looks(notes: str) -> list[tuple[str, str]]:
    """Where the backend was, and where the device says it was, at each look."""
    return re.findall(r"at (\d+): (\d+) \d+\n", notes)


def test_a_device_and_a_backend_from_outside_take_part_in_every_mode(home: Home) -> None:
    machine = _machine(home)
    notes = home.work / "notes"
    for mode, command in (("NONE", ("run",)), ("RECORD", ("record", "-o", "a.dejavm"))):
        done = home.run(*command, *machine, env=ENV)
        assert done.exit_code == 0, done.stderr
        text = notes.read_text()
        assert text.startswith(f"opened in {mode} at 0\n")
        assert len(_looks(text)) == 4
        assert all(backend == device for backend, device in _looks(text))
        notes.unlink()
    recording = home.work / "a.dejavm"
    values = re.findall(rb"poke ([0-9a-f]+)", console(recording))
    assert len(values) == 4
    assert all(int(value, 16) & 0xFF == 3 for value in values)
    assert dict(Recording.open(recording).facts.states)["watch0"] == (("outside-stopwatch", 1),)
    # Without its devices a recording needs nothing of the package; with them it needs the device, and no backend.
    home.verify(recording, "--devices", "log")
    home.verify(recording, "--devices", "live", env=ENV)
    assert not notes.exists()


def test_a_backend_from_outside_listens_to_a_replay(home: Home) -> None:
    recording = home.record(*_machine(home), env=ENV)
    heard = home.work / "heard"
    word = f"module:dejavm_outside.notebook:Notebook,{heard}"
    done = home.run("replay", recording, "--serial", word, env=ENV)
    assert done.exit_code == 0, done.stderr
    text = heard.read_text()
    assert text.startswith("opened in REPLAY_LIVE at 0\n")
    assert b"".join(re.findall(rb"at \d+: (.*)\n", heard.read_bytes())).count(b"poke ") == 4
    assert "input is ignored: this is a replay" in done.stderr


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"backend": "Wiretap"}, ("watch0", "Wiretap", "the guest reads the notebook's own memory")),
        ({"device": "SHARED"}, ("watch0", "stopwatch", "the host's own stopwatch")),
    ],
)
def test_what_cannot_be_recorded_is_refused_by_name_and_runs_all_the_same(
    home: Home, parts: dict[str, str], says: tuple[str, ...]
) -> None:
    machine = _machine(home, **parts)
    before = sorted(home.work.rglob("*"))
    done = home.run("record", *machine, env=ENV)
    assert done.exit_code == EXIT_USAGE, done.stderr
    for word in (*says, "cannot be recorded"):
        assert word in done.complaint
    assert sorted(home.work.rglob("*")) == before
    done = home.run("run", *machine, env=ENV)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"device": "NOTHING"}, ("watch0", "dejavm_outside.stopwatch:NOTHING")),
        ({"backend": "Nobody"}, ("watch0", "dejavm_outside.notebook:Nobody")),
        ({}, ("watch0", "No module named 'dejavm_outside'")),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name(home: Home, parts: dict[str, str], says: tuple[str, ...]) -> None:
    done = home.run("record", *_machine(home, **parts), env=ENV if parts else {})
    assert done.exit_code == EXIT_USAGE, done.stderr
    for word in says:
        assert word in done.complaint
    assert home.recordings() == []
