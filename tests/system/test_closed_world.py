"""A machine that is not closed is refused at its start, by name, and leaves nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.guests import guest
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from tests.harness.machine import Finished, Home

pytestmark = pytest.mark.system
EXIT_FAILED = 1
PATIENCE: Final[dict[str, tuple[str, ...]]] = {"broker": ("--hello-timeout", "3")}
SPEAKS_MORE: Final = """
import runpy, sys
from machine import codec, message
codec.MESSAGES[99] = codec.MESSAGES[66]
sys.argv = sys.argv[4:]
sys.path.insert(0, "")
runpy.run_module("devices", run_name="__main__", alter_sys=True)
"""
"""A device that has a message of its own, in front of `python -P -m devices ...`."""


def _refused(home: Home, rig: Rig) -> Finished:
    """The machine must not start; nothing is written and nobody left."""
    done = home.run("record", "bare", "--kernel", guest("traps"), "--serial", "null", "-o", "a.dejavm", rig=rig)
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert home.recordings() == []
    assert home.left_behind() == []
    return done


def test_a_device_that_does_not_come_to_the_broker_is_named(home: Home) -> None:
    rig = Rig(extra=PATIENCE, prefix={"rtc0": ("sh", "-c", "exec sleep 8")})
    assert "not here after 3 s: rtc0" in _refused(home, rig).complaint


def test_a_device_with_messages_of_its_own_is_named_with_them(home: Home) -> None:
    rig = Rig(prefix={"rtc0": (sys.executable, "-c", SPEAKS_MORE)})
    complaint = _refused(home, rig).complaint
    assert "rtc0" in complaint
    assert "speaks messages this broker does not know: type_99" in complaint
