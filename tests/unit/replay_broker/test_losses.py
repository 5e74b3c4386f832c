"""Nodes whose process has died, and how long another is waited for."""

from __future__ import annotations

import pytest

from machine.errors import MachineError
from replay_broker.losses import Losses
from replay_broker.roster import Member


def test_nobody_is_waited_for_when_whoever_starts_processes_has_told_the_machine_to_leave() -> None:
    found = Losses(lambda *_: None)
    found.lose(Member("serial0", 2, pid=77), None, 0)
    found.check()
    found.close_the_book()
    with pytest.raises(MachineError, match=r"serial0: its process 77 has died$"):
        found.check()
    found.close()
