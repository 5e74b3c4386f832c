"""A packed recording replays where nothing of the machine that made it is left."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import echo_script, guest, shell_script
from tests.harness.machine import final_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system
EXIT_UNREADABLE = 4


def _elsewhere(home: Home) -> dict[str, str]:
    """Another user's surroundings: a home and a cache with nothing in them."""
    other = home.path / "other"
    other.mkdir()
    return {"HOME": str(other), "XDG_CACHE_HOME": str(other / "cache"), "DEJAVM_CACHE": str(other / "cache")}


def _packed(home: Home, *options: str) -> tuple[Path, str]:
    """A packed recording whose machine, guest file and script are gone, and its digest."""
    kernel = home.work / "kernel.bin"
    shutil.copy(guest("echo"), kernel)
    recording = home.record("bare", "--kernel", kernel, "--serial", home.script(echo_script("hello")))
    digest = final_digest(recording)
    packed = home.path / "shared.dejavm.tar.zst"
    done = home.run("pack", recording, "-o", packed, *options)
    assert done.exit_code == 0, done.stderr
    assert "passwords" in done.stderr
    shutil.rmtree(home.work)
    home.work.mkdir()
    return packed, digest


def test_a_packed_recording_replays_without_anything_of_where_it_was_made(home: Home) -> None:
    packed, digest = _packed(home)
    env = _elsewhere(home)
    done = home.run("unpack", packed, env=env)
    assert done.exit_code == 0, done.stderr
    assert home.verify_both_ways(home.work / "shared.dejavm", env=env) == digest


def test_what_is_made_of_an_unpacked_recording_has_the_guests_files_too(home: Home) -> None:
    packed, digest = _packed(home)
    env = _elsewhere(home)
    assert home.run("unpack", packed, env=env).exit_code == 0
    whole, part, again, other = (home.work / f"{name}.dejavm" for name in ("shared", "part", "again", "other"))
    done = home.run("cut", whole, "-o", part)
    assert done.exit_code == 0, done.stderr
    rows = home.run("dump", whole, "--json").stdout.encode()
    done = home.run("assemble", "-", "--machine", whole, "-o", again, stdin=rows)
    assert done.exit_code == 0, done.stderr
    done = home.run("branch", f"{whole}@1000", "--serial", home.script(echo_script("again")), "-o", other, env=env)
    assert done.exit_code == 0, done.stderr
    shutil.rmtree(whole)
    for recording in (part, again):
        assert home.verify_both_ways(recording, env=env) == digest
    home.verify_both_ways(other, env=env)


def test_a_part_that_was_redacted_is_packed_and_read_and_never_run_again(home: Home) -> None:
    whole = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", "--snapshot-every", "100ms")
    part, blank, there = (home.work / f"{name}.dejavm" for name in ("part", "blank", "there"))
    place = str(Recording.open(whole).end_icount // 2)
    assert home.run("cut", whole, "--from", place, "-o", part).exit_code == 0
    assert Recording.open(part).facts.snapshot
    assert home.run("redact", part, "--channel", "serial0", "-o", blank).exit_code == 0
    done = home.run("pack", blank, "-o", "blank.zst")
    assert done.exit_code == 0, done.stderr
    done = home.run("unpack", "blank.zst", "-o", there)
    assert done.exit_code == 0, done.stderr
    assert home.run("dump", there).stdout == home.run("dump", blank).stdout
    for command, *words in (["snapshots", "--make"], ["verify"], ["verify", "--jobs", "2"], ["bisect"]):
        done = home.run(command, there, *words)
        assert done.exit_code == EXIT_UNREADABLE, command
        assert "have been redacted (serial0); it can be read, not replayed" in done.complaint


def test_a_thin_one_names_what_it_lacks_and_replays_once_that_is_there(home: Home) -> None:
    packed, digest = _packed(home, "--thin")
    env = _elsewhere(home)
    done = home.run("unpack", packed, env=env)
    recording = home.work / "shared.dejavm"
    (file,) = Recording.open(recording).facts.files
    assert file.sha256 in done.complaint
    done = home.run("verify", recording, env=env)
    assert done.exit_code == EXIT_UNREADABLE
    assert file.sha256 in done.complaint
    (recording / "files").mkdir()
    shutil.copy(guest("echo"), recording / "files" / file.sha256)
    assert home.verify_both_ways(recording, env=env) == digest


def test_snapshots_go_along_when_they_are_asked_for(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("counters"), "--serial", "null")
    assert home.run("snapshots", recording, "--make", "3000000").exit_code == 0
    made = home.run("snapshots", recording, "--json").json["snapshots"]
    assert len(made) >= 2
    env = _elsewhere(home)
    for name, options, expected in (("with", ("--snapshots",), made), ("without", (), [])):
        packed = home.path / f"{name}.dejavm.tar.zst"
        assert home.run("pack", recording, "-o", packed, *options).exit_code == 0
        assert home.run("unpack", packed, env=env).exit_code == 0
        there = home.work / f"{name}.dejavm"
        assert home.run("snapshots", there, "--json", env=env).json["snapshots"] == expected
        done = home.run("replay", there, "--seek", str(made[-1]["icount"]), "--json", env=env)
        assert done.json == home.run("replay", recording, "--until", str(made[-1]["icount"]), "--json").json


@pytest.mark.debian
@pytest.mark.timeout(300)
def test_a_packed_debian_session_brings_its_kernel_along(home: Home) -> None:
    script = home.script(shell_script("uname -m"))
    recording = home.record("--memory", "128M", "--sleep", "off", "--serial", script)
    digest = final_digest(recording)
    packed = home.path / "debian.dejavm.tar.zst"
    assert home.run("pack", recording, "-o", packed).exit_code == 0
    env = _elsewhere(home)
    assert home.run("unpack", packed, "-o", "there.dejavm", env=env).exit_code == 0
    assert home.verify(home.work / "there.dejavm", "--devices", "log", env=env) == digest
