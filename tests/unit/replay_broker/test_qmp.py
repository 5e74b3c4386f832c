"""QMP: the protocol with one client, standing still and going on, the end."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from machine import message as m
from machine.icount import CPU, FIRST_DEVICE
from replay_broker.monitor.control import VERSION
from replay_broker.outcome import Outcome
from tests.unit.replay_broker.monitor_stage import Theatre, error
from tests.unit.replay_broker.stage import say

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A machine that is being recorded, its CPU running."""
    theatre = Theatre(tmp_path).begin()
    yield theatre
    theatre.close()


# The protocol.


def test_the_greeting_tells_the_programs_own_version(theatre: Theatre) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tuple(map(int, project["version"].split("."))) == VERSION
    greeting = theatre.client().hear()
    numbers = dict(zip(("major", "minor", "micro"), VERSION, strict=True))
    assert greeting == {"QMP": {"version": {"qemu": numbers, "package": "dejavm"}, "capabilities": []}}


def test_nothing_is_done_before_negotiation_and_negotiation_is_done_once(theatre: Theatre) -> None:
    client = theatre.client()
    client.hear()
    expected = error("Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound")
    assert client.execute("query-status") == expected
    assert client.execute("qmp_capabilities", {"enable": ["oob"]}) == error("Capability 'oob' not available")
    assert client.execute("qmp_capabilities", {"enable": []}, id=5) == {"return": {}, "id": 5}
    expected = error("Capabilities negotiation is already complete, command ignored", "CommandNotFound")
    assert client.execute("qmp_capabilities") == expected


@pytest.mark.parametrize("given", [1, "x", None, [1, {"a": "ü"}], {"b": []}])
def test_an_id_comes_back_with_the_answer_and_with_the_error(theatre: Theatre, given: object) -> None:
    client = theatre.qmp()
    assert client.execute("query-name", id=given) == {"return": {"name": "stage"}, "id": given}
    assert client.execute("no-such", id=given)["id"] == given


REQUESTS = {
    '{"execute": "nope"}': error("The command nope has not been found", "CommandNotFound"),
    '{"exec": 1}': error("QMP input member 'exec' is unexpected"),
    "{}": error("QMP input lacks member 'execute'"),
    '{"execute": 1}': error("QMP input member 'execute' must be a string"),
    '{"execute": "stop", "arguments": []}': error("QMP input member 'arguments' must be an object"),
    '{"execute": "stop", "arguments": {"a": 1}}': error("Parameter 'a' is unexpected"),
    '{"execute": "input-send-event"}': error("Parameter 'events' is missing"),
    '{"execute": "send-key", "arguments": {"keys": 5}}': error("Invalid parameter type for 'keys', expected: array"),
    "[]": error("QMP input must be a JSON object"),
    "5": error("QMP input must be a JSON object"),
    '{"a": 1, "a": 2}': error("JSON parse error, duplicate key"),
    '{"execute": NaN}': error("JSON parse error, invalid keyword 'NaN'"),
    '{"execute": "stop", "id": -1e999}': error("JSON parse error, number '-1e999' is too large"),
}


@pytest.mark.parametrize("request_text", REQUESTS)
def test_a_bad_request_is_answered_as_qemu_does_and_the_next_one_is_heard(theatre: Theatre, request_text: str) -> None:
    client = theatre.qmp()
    client.send(request_text.encode() + b"\n")
    assert client.hear() == REQUESTS[request_text]
    assert client.execute("query-name") == {"return": {"name": "stage"}}


@pytest.mark.parametrize(
    "noise", [b"foo\n", b'{"execute":}', b'{"\xc3"}', b"}\n", b'{"execute": "stop"\xff', b'{"execute": "\\udcff"}']
)
def test_what_is_no_json_is_a_parse_error_and_the_next_request_is_heard(theatre: Theatre, noise: bytes) -> None:
    client = theatre.qmp()
    client.send(noise)
    assert client.hear()["error"]["desc"].startswith("JSON parse error, ")
    assert client.execute("query-name") == {"return": {"name": "stage"}}


def test_requests_need_no_newline_and_may_have_many_within(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.send(b'{"execute":"query-name","id":1}{"execute"\n:\n"query-name",\n"id":"}{"}\xff\xff')
    assert [client.hear()["id"], client.hear()["id"]] == [1, "}{"]


def test_a_request_that_comes_byte_by_byte_is_one(theatre: Theatre) -> None:
    client = theatre.qmp()
    for byte in b'{"execute": "query-name", "id": "\\"{"}':
        client.send(bytes((byte,)))
        theatre.turn()
    assert client.hear() == {"return": {"name": "stage"}, "id": '"{'}


def test_a_client_that_hangs_up_behind_its_last_request_still_hears_the_answers(theatre: Theatre) -> None:
    client = theatre.client()
    client.send(b'{"execute":"qmp_capabilities"}{"execute":"query-name"} {"execute":')
    client.hang_up()
    assert "QMP" in client.hear()
    assert client.hear() == {"return": {}}
    assert client.hear() == {"return": {"name": "stage"}}
    assert client.hear() == error("JSON parse error, premature EOI")
    assert client.gone()


def test_what_a_client_asks_before_it_vanishes_is_done(theatre: Theatre) -> None:
    client = theatre.client()
    client.send(b'{"execute":"qmp_capabilities"}{"execute":"quit"}')
    client.close()
    for _ in range(5):
        theatre.turn()
    assert theatre.host.quits == 1


# Standing still and going on.


def test_stop_is_answered_when_the_guest_stands_and_both_are_told_to_everybody(theatre: Theatre) -> None:
    client, other = theatre.qmp(), theatre.qmp()
    client.ask("stop")
    assert theatre.stage.take() == [(CPU, m.Pause(on=True))]
    assert client.silent()
    assert other.execute("query-status") == {"return": {"running": True, "status": "running"}}
    theatre.stand_still()
    event = client.hear()
    assert (event["event"], "data" in event) == ("STOP", False)
    assert client.hear() == {"return": {}}
    assert other.hear()["event"] == "STOP"
    assert other.execute("query-status") == {"return": {"running": False, "status": "paused"}}
    assert other.execute("stop") == {"return": {}}
    client.ask("cont")
    assert theatre.stage.take() == [(CPU, m.Pause(on=False))]
    event = client.hear()
    assert event["event"] == "RESUME"
    assert event["timestamp"].keys() == {"seconds", "microseconds"}
    assert client.hear() == {"return": {}}


def test_requests_behind_a_stop_wait_for_it(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.ask("stop", id=1)
    client.ask("query-status", id=2)
    assert client.silent()
    theatre.stand_still()
    assert client.hear()["event"] == "STOP"
    assert [client.hear()["id"], client.hear()["id"]] == [1, 2]


def test_a_sleeping_guest_stands_at_once_and_is_left_asleep(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path).begin(running=False)
    client = theatre.qmp()
    client.ask("stop")
    assert [client.hear().get("event"), client.hear()] == ["STOP", {"return": {}}]
    say(theatre.record, m.HostInput(m.HostEvent.DATA, b"x"), FIRST_DEVICE, 10)
    assert not [sent for sent in theatre.stage.take() if isinstance(sent[1], m.SyncPoint)]
    client.ask("cont")
    assert theatre.stage.take() == [
        (CPU, m.Pause(on=False)),
        (CPU, m.SyncPoint()),
        (FIRST_DEVICE, m.HostInput(m.HostEvent.DATA, b"x")),
    ]
    theatre.close()


def test_a_machine_that_is_starting_is_in_prelaunch_and_stops_once_it_runs(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    client = theatre.qmp()
    assert client.execute("query-status") == {"return": {"running": False, "status": "prelaunch"}}
    client.ask("stop")
    assert client.silent()
    theatre.begin()
    theatre.turn()
    assert theatre.stage.take() == [(CPU, m.Pause(on=True))]
    theatre.stand_still()
    assert client.hear()["event"] == "STOP"
    theatre.close()


ENDS = [
    (Outcome(m.RunState.ENDED, reason=m.PowerOffReason.SHUTDOWN), True, "guest-shutdown", "shutdown"),
    (Outcome(m.RunState.ENDED, reason=m.PowerOffReason.REBOOT), True, "guest-reset", "shutdown"),
    (Outcome(m.RunState.ENDED, reason=m.PowerOffReason.FAILURE), True, "guest-panic", "shutdown"),
    (Outcome(m.RunState.ENDED), False, "host-signal", "shutdown"),
    (Outcome(m.RunState.DIVERGED, detail="x"), False, "host-error", "internal-error"),
]


@pytest.mark.parametrize(("outcome", "guest", "reason", "status"), ENDS)
def test_the_end_is_told_with_its_reason_and_refuses_what_waited(
    theatre: Theatre, outcome: Outcome, guest: bool, reason: str, status: str
) -> None:
    client = theatre.qmp()
    client.ask("stop")
    theatre.host.outcome = outcome
    assert client.hear() == error("the run is over")
    event = client.hear()
    assert (event["event"], event["data"]) == ("SHUTDOWN", {"guest": guest, "reason": reason})
    assert client.execute("query-status")["return"] == {"running": False, "status": status}
    assert client.execute("cont") == error("the run is over")
    assert client.execute("quit") == {"return": {}}
    assert theatre.host.quits == 0


def test_a_run_that_quit_has_ended_says_so(theatre: Theatre) -> None:
    client = theatre.qmp()
    assert client.execute("quit") == {"return": {}}
    assert theatre.host.quits == 1
    theatre.host.outcome = Outcome(m.RunState.ENDED)
    assert client.hear()["data"]["reason"] == "host-qmp-quit"
