"""How a run ended: the user reads the name of the node that failed once, wherever it stands."""

from __future__ import annotations

import pytest

from machine.message import Fault, FaultCode, RunState
from replay_broker.outcome import of_fault


@pytest.mark.parametrize(
    ("detail", "says"),
    [
        ("no such file", "usb0: no such file"),
        ("usb0: no such file", "usb0: no such file"),
        ("usb0 port 1: no such file", "usb0 port 1: no such file"),
        ("usb01: no such file", "usb0: usb01: no such file"),
    ],
)
def test_a_failed_node_is_named_once(detail: str, says: str) -> None:
    outcome = of_fault("usb0", Fault(FaultCode.SETUP, detail))
    assert (outcome.state, outcome.detail) == (RunState.FAILED, says)
