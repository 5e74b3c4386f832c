"""How the commands are told which machine is meant, and what they say when they are not."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy import cli
from deploy.supervision import place
from machine.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One and two, of which nothing is left but their directories."""
    monkeypatch.setattr(place, "machines_directory", lambda: tmp_path)
    for name in ("one", "two"):
        logs = tmp_path / name / "logs"
        logs.mkdir(parents=True)
        for process in ("cpu", "rtc0", "supervisord"):
            (logs / f"{process}.log").write_text(f"{process} of {name}\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("logs two", "two is a machine, not a process; print its diagnostics with: dejavm logs --name two"),
        ("logs cpu", "say which machine, one of one, two: dejavm logs --name one"),
        ("logs nic0 --name one", "one has no process nic0 here (it has: cpu, rtc0, supervisord)"),
        ("logs two --name one", "one has no process two here (it has: cpu, rtc0, supervisord)"),
        ("down", "say which machine, one of one, two: dejavm down one"),
        ("down cpu", "no machine cpu is up here (cpu is a process of one)"),
        ("ps three", "no machine three is up here (there are: one, two)"),
        ("ps one --name two", "which machine, one or two? name one"),
    ],
)
@pytest.mark.usefixtures("two_machines")
def test_a_name_that_is_none_or_another_s_is_told_with_what_there_is(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == 2
    assert capsys.readouterr() == ("", f"dejavm: {complaint}\n")


@pytest.mark.usefixtures("two_machines")
def test_each_command_takes_the_name_as_up_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ps", "--name", "two"]) == 0
    assert capsys.readouterr().out.startswith("two: ")
    assert cli.main(["logs", "--name", "two", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("cpu of two\n")
    assert cli.main(["down", "--name", "two"]) == 0
    assert cli.main(["down", "one"]) == 0
    assert cli.main(["down"]) == 2
    assert capsys.readouterr().err.endswith("dejavm: no machine is up here; start one with: dejavm up\n")


@pytest.fixture
def deserted(two_machines: None, tmp_path: Path) -> None:
    """One's supervisor was killed."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "one" / "supervisord.pid").write_text(f"{ended.pid}\n")


@pytest.mark.usefixtures("deserted")
def test_a_name_in_use_is_refused_and_by_what_it_is_used() -> None:
    with pytest.raises(
        UsageError, match="machine one was here, its supervisor has gone; clear it away with: dejavm down"
    ):
        place.claim("one")
    with pytest.raises(
        UsageError, match="machine two is just starting, or ending; end it with: dejavm down two, or give"
    ):
        place.claim("two")


@pytest.mark.usefixtures("deserted")
def test_who_follows_a_machine_whose_supervisor_has_gone_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["logs", "--name", "one", "-f", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("cpu of one\n")
    assert said.err == "dejavm: one: its supervisor has gone; clear it away with: dejavm down one\n"
    (tmp_path / "two" / "end.json").write_text('{"state": "ENDED"}')
    # supervisorctl has told it to go; nothing more will come.
    assert cli.main(["logs", "--name", "two", "-f", "cpu"]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["ps", "two"]) == 0
    assert "its supervisor has gone; clear it away" in capsys.readouterr().out
    (tmp_path / "two" / "end.json").unlink()
    # Of whom nothing is known there is no table.
    assert cli.main(["ps"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "one: silent (its supervisor has gone; clear it away with: dejavm down one)",
        "",
        "two: silent (just starting, or ending; if that lasts, clear it away with: dejavm down two)",
    ]
