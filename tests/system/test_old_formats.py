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
