"""A recording of every format that is read, made when that format was new, still replays bit for bit."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from machine.recording.format import FORMAT_VERSION, READABLE_FORMATS
from machine.recording.reader import Recording
from tests.harness.machine import ROOT

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system
KEPT = ROOT / "tests" / "recordings"


def test_the_newest_format_is_read() -> None:
    assert READABLE_FORMATS[-1] == FORMAT_VERSION


@pytest.mark.parametrize("number", READABLE_FORMATS)
def test_a_kept_recording_replays(home: Home, number: int) -> None:
    copy = home.work / f"format-{number}.dejavm"
    shutil.copytree(KEPT / copy.name, copy)
    assert Recording.open(copy).facts.format == number
    assert Recording.open(copy).clean_end
    home.verify_both_ways(copy)


def test_a_snapshot_of_an_older_version_is_listed_and_begun_at(home: Home) -> None:
    copy = home.work / "snapshot-1.dejavm"
    shutil.copytree(KEPT / copy.name, copy)
    (listed,) = home.run("snapshots", str(copy), "--json").json["snapshots"]
    assert (listed["icount"], listed["made_ns"]) == (20_132, None)
    for place in (20_132, 20_200):
        sought = home.run("replay", str(copy), "--seek", str(place), "--json").json
        assert sought == home.run("replay", str(copy), "--until", str(place), "--json").json
    # It does not say where in the guest's sleep it is, so no part ends there.
    parts = home.run("verify", copy, "--jobs", "2", "--json")
    assert (parts.exit_code, parts.json["parts"]) == (0, 1), parts.stderr
