"""A device on another host reads memory while the CPU's process dies, or its own: it is answered once."""

from __future__ import annotations

from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import CPU
from machine.message import DmaData, DmaRead
from replay_broker.relay import Relay

DEVICE = 2
QUESTION = Frame(type_of(DmaRead), DEVICE, CPU, 7, encode(DmaRead(4096, 4096)))
ANSWER = Frame(type_of(DmaData), CPU, DEVICE, 7, encode(DmaData(bytes(4096))))


def test_a_cpu_that_stands_in_is_asked_what_the_one_before_has_not_answered() -> None:
    sent: list[Frame] = []
    relay = Relay(sent.append, lambda _: None)
    relay.take(QUESTION)
    relay.again()
    assert sent == [QUESTION, QUESTION]
    relay.take(ANSWER)
    relay.again()
    assert sent == [QUESTION, QUESTION, ANSWER]


def test_what_a_device_that_has_died_had_asked_is_not_asked_for_it() -> None:
    sent: list[Frame] = []
    relay = Relay(sent.append, lambda _: None)
    relay.take(QUESTION)
    relay.forget(DEVICE + 1)
    relay.again()
    relay.forget(DEVICE)
    relay.again()
    assert sent == [QUESTION, QUESTION]
