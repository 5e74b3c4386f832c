"""What may wait while nodes talk to each other waits, and not for long."""

from __future__ import annotations

from replay_broker.turns import PUT_OFF_NS, RUNNING_TICK_MS, Turns


def test_turns_are_put_off_while_messages_come_and_then_they_are_due() -> None:
    now_ns = 1000
    turns = Turns(lambda: now_ns)
    assert turns.may_be_put_off()
    now_ns += PUT_OFF_NS - 1
    assert turns.may_be_put_off()
    now_ns += 1
    assert not turns.may_be_put_off()
    turns.taken()
    assert turns.may_be_put_off()


def test_who_has_put_something_off_does_not_sleep_on_it() -> None:
    turns = Turns(lambda: 0)
    assert turns.wait_ms(None, 7_000_001) == 8
    turns.may_be_put_off()
    assert turns.wait_ms(None, 7_000_001) == 1


def test_a_machine_that_waits_for_nothing_is_looked_at_seldom() -> None:
    assert Turns(lambda: 0).wait_ms(None) == RUNNING_TICK_MS
