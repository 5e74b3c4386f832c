"""The modes and what the commands tell of them, on real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import echo_script, guest
from tests.harness.machine import final_digest
from tests.harness.net_guest import command_line

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_FAILED = 1
ASKED = {
    "id", "board", "instructions", "virtual_ns", "messages", "inputs", "log_bytes", "bytes_per_1000_instructions",
    "clean_end", "final_digest", "files",
}  # fmt: skip
"""What `info --json` must tell."""


def _record(home: Home, *args: str | Path, name: str = "a") -> Path:
    script = home.script(echo_script("hello"))
    return home.record("bare", "--kernel", guest("echo"), "--serial", script, *args, name=name)


def test_a_run_without_a_log_leaves_nothing_and_shows_the_console(home: Home) -> None:
    done = home.run("run", "bare", "--kernel", guest("traps"), "--serial", "stdio")
    assert done.exit_code == 0
    assert done.stdout.endswith("PASS\n")
    assert list(home.work.iterdir()) == []


def test_run_with_a_name_records(home: Home) -> None:
    path = home.work / "named.dejavm"
    done = home.run("run", "bare", "--kernel", guest("counters"), "--serial", "null", "-o", path)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1].startswith(f"recorded {path}: ")
    home.verify(path)


def test_verify_tells_what_scripts_need(home: Home) -> None:
    recording = _record(home)
    facts = home.run("verify", recording, "--json").json
    assert set(facts) == {"bit_exact", "instructions", "messages", "inputs", "final_digest", "seconds", "clean_end"}
    assert facts["bit_exact"] is True
    assert facts["final_digest"] == final_digest(recording)


def test_info_tells_what_scripts_need(home: Home) -> None:
    recording = _record(home)
    info = home.run("info", recording, "--json").json
    assert set(info) >= ASKED
    assert info["clean_end"] is True
    assert info["files"][0]["path"] == str(guest("echo"))
    verified = home.run("verify", recording, "--json").json
    for key in ("instructions", "messages", "inputs", "final_digest"):
        assert info[key] == verified[key]


def test_dump_tells_every_message_in_order(home: Home) -> None:
    recording = _record(home)
    rows = [json.loads(line) for line in home.run("dump", recording, "--json").stdout.splitlines()]
    fields = {"icount", "seq", "source", "target", "type", "class", "payload"}
    assert all(set(row) >= fields for row in rows)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["icount"] for row in rows] == sorted(row["icount"] for row in rows)
    inputs = home.run("dump", recording, "--json", "--type", "host_input").stdout.splitlines()
    assert bytes.fromhex(json.loads(inputs[0])["payload"]["data"]) == b"hello\n"


def test_replay_until_tells_where_it_stands(home: Home) -> None:
    done = home.run("replay", _record(home), "--until", "1000", "--json")
    assert set(done.json) == {"icount", "digest", "clean_end"}
    assert done.json["icount"] == 1000


def test_recordings_go_to_their_place_and_the_newest_is_the_default(home: Home) -> None:
    script = home.script(echo_script("hello"))
    machine = ("record", "bare", "--kernel", guest("echo"), "--serial", script)
    first, second = home.run(*machine), home.run(*machine)
    assert first.exit_code == second.exit_code == 0
    assert len(list((home.work / "recordings").iterdir())) == 2
    newest = second.stderr.splitlines()[-1].removeprefix("recorded ").partition(": ")[0]
    assert home.run("info", "--json").json["id"] == home.run("info", newest, "--json").json["id"]
    replayed = home.run("replay")
    assert replayed.exit_code == 0
    assert Path(newest).name in replayed.stderr
    assert home.run("verify", "--json").json["bit_exact"] is True


def test_a_guest_that_failed_is_exit_code_1_when_recorded_and_0_when_replayed(home: Home) -> None:
    path = home.work / "failed.dejavm"
    done = home.run("record", "bare", "--kernel", guest("poke"), "--serial", "stdio", "-o", path)
    assert done.exit_code == EXIT_FAILED
    assert done.stdout.startswith("FAIL no device")
    assert "guest" in done.complaint
    home.verify_both_ways(path)


def test_a_run_of_more_than_two_seconds_tells_its_rate(home: Home) -> None:
    done = home.run("run", "bare", "--kernel", guest("nap"), "--serial", "null", "--sleep", "on")
    assert done.exit_code == 0
    assert "MIPS" in done.stderr


@pytest.mark.debian
def test_a_long_replay_tells_its_rate_and_the_time_left(home: Home) -> None:
    work = "head -c 50000000 /dev/zero | md5sum"
    recording = home.record("--memory", "128M", "--serial", "null", "--append", command_line(work))
    done = home.run("verify", recording)
    assert done.exit_code == 0
    assert "MIPS" in done.stderr
    assert "%" in done.stderr
    assert " left" in done.stderr
