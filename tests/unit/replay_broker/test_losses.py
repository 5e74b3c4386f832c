"""Nodes whose process has died, and how long another is waited for."""

from __future__ import annotations

import time

import pytest

from machine.errors import MachineError
from replay_broker.losses import BARREN, BARREN_S, Losses
from replay_broker.roster import Member


def test_nobody_is_waited_for_when_whoever_starts_processes_has_told_the_machine_to_leave() -> None:
    found = Losses(lambda *_: None)
    found.lose(Member("serial0", 2, pid=77), None, 0, 0)
    found.check()
    found.close_the_book()
    with pytest.raises(MachineError, match=r"serial0: its process 77 has died$"):
        found.check()
    found.close()


def test_who_has_no_process_is_what_the_machine_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_s)
    found = Losses(lambda *_: None)
    assert found.waiting_for() == ""
    found.lose(Member("cpu", 1, pid=77), None, 0, 5)
    clock_s += 0.5
    found.lose(Member("serial0", 2, pid=78), None, 0, 5)
    assert found.waiting_for() == ""
    clock_s += 12.0
    assert found.waiting_for() == "cpu (12 s)"
    found.find(1, 0, 5)
    assert found.waiting_for() == "serial0 (12 s)"
    found.find(2, 0, 5)
    assert found.waiting_for() == ""
    found.close()


def test_a_node_whose_processes_die_one_after_the_other_while_nothing_goes_on_is_given_up() -> None:
    found, member = Losses(lambda *_: None), Member("cpu", 1, pid=77)
    for _ in range(BARREN - 1):
        found.lose(member, None, 0, 5)
        found.find(1, 0, 5)
    with pytest.raises(MachineError, match=r"^cpu has died 10 times, and in between nothing went on; has the host no "):
        found.lose(member, None, 0, 5)
    found.close()


@pytest.mark.parametrize("pause_s", [0.0, BARREN_S + 1])
def test_deaths_with_a_message_or_much_time_between_them_are_no_reason_to_give_up(
    pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_s)
    found, member = Losses(lambda *_: None), Member("cpu", 1, pid=77)
    for number in range(3 * BARREN):
        found.lose(member, None, 0, 5 if pause_s else number)
        found.find(1, 0, 5)
        clock_s += pause_s
    found.close()
