"""What QMP's clients ask about the machine, and backends that are changed."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine import message as m
from machine.ringbuf import RingWriter, ring_path
from replay_broker.monitor.answer import CommandError
from replay_broker.monitor.commands import COMMANDS
from replay_broker.monitor.machine import Machine
from replay_broker.session.base import Hold
from tests.unit.replay_broker.monitor_stage import BOARD, Theatre, error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DONE: dict[str, Any] = {"return": {}}


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """A machine that is being recorded, its CPU running."""
    theatre = Theatre(tmp_path).begin()
    yield theatre
    theatre.close()


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (m.RunMode.NONE, {"mode": "none", "icount": 77}),
        (m.RunMode.RECORD, {"mode": "record", "icount": 77, "filename": "/r/a.dejavm"}),
        (m.RunMode.REPLAY_LOG, {"mode": "play", "icount": 77, "filename": "/r/a.dejavm"}),
    ],
)
def test_query_replay_tells_mode_place_and_file(tmp_path: Path, mode: m.RunMode, said: dict[str, Any]) -> None:
    theatre = Theatre(tmp_path, mode).begin()
    theatre.record.icount = 77
    assert theatre.qmp().execute("query-replay") == {"return": said}
    theatre.close()


def test_the_rest_that_qemus_clients_ask(theatre: Theatre) -> None:
    client = theatre.qmp()
    assert client.execute("query-version")["return"]["package"] == "dejavm"
    assert client.execute("query-kvm") == {"return": {"enabled": False, "present": False}}
    assert client.execute("query-target") == {"return": {"arch": "riscv64"}}
    names = {row["name"] for row in client.execute("query-commands")["return"]}
    assert names >= {"query-commands", "stop", "human-monitor-command", "qmp_capabilities", "chardev-change"}
    line = {"command-line": "info status"}
    assert client.execute("human-monitor-command", line) == {"return": "VM status: running\r\n"}


@pytest.mark.parametrize("sleeps", [False, True])
def test_what_a_request_changes_at_once_is_told_before_the_broker_sleeps(tmp_path: Path, *, sleeps: bool) -> None:
    theatre = Theatre(tmp_path, board=replace(BOARD, sleep=True)).begin(running=not sleeps)
    client, name = theatre.qmp(), itemgetter("event")
    if not sleeps:
        assert client.told_at_once("stop") == []
        theatre.stand_still()
        assert name(client.hear()) == "STOP"
        assert client.hear() == DONE
    else:
        stopped, answer = client.told_at_once("stop")
        assert (name(stopped), answer) == ("STOP", DONE)
    assert client.told_at_once("stop") == [DONE]
    resumed, answer = client.told_at_once("cont")
    assert (name(resumed), answer) == ("RESUME", DONE)
    theatre.close()


def test_a_stop_is_answered_though_another_client_says_cont_before_the_guest_stands(theatre: Theatre) -> None:
    one, other = theatre.qmp(), theatre.qmp()
    one.ask("stop")
    assert other.execute("cont") == DONE
    assert one.hear() == DONE
    theatre.stand_still()
    assert theatre.record.hold is Hold.RUNNING
    assert one.execute("query-status")["return"]["running"]


# Backends.

SOCKET = {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "/a,b"}}, "server": True}}
BACKENDS = [
    ({"type": "null", "data": {}}, "null"),
    ({"type": "file", "data": {"out": "/tmp/x"}}, "file:/tmp/x"),
    (SOCKET, "unix:/a,,b,server=on,wait=off"),
    ({"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "::1", "port": "5"}}, "server": False}},
     "tcp:[::1]:5"),
    ({"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "h", "port": "5"}}, "wait": True,
                                 "telnet": True}}, "tcp:h:5,server=on,telnet=on"),
    ({"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "h", "port": "5"}}}}, "udp:h:5"),
    ({"type": "ringbuf", "data": {"size": 4096}}, "ringbuf:size=4096"),
    ({"type": "pty", "data": {}}, "pty"),
    ("stdio,mux=on", "stdio,mux=on"),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "word"), BACKENDS)
def test_a_backend_in_qmps_shape_or_in_our_words_is_asked_of_the_devices_process(
    theatre: Theatre, backend: Any, word: str
) -> None:
    client = theatre.qmp()
    client.ask("chardev-change", {"id": "serial0", "backend": backend})
    assert client.silent()
    ((node, asked, done),) = theatre.host.changes
    assert (node, asked) == ("serial0", word)
    done("")
    assert client.hear() == {"return": {}}
    info = client.execute("query-chardev")["return"]
    assert info == [{"label": "serial0", "filename": word, "frontend-open": True}]


def test_a_backend_that_cannot_be_had_is_an_error_and_the_old_one_stays(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.ask("chardev-change", {"id": "serial0", "backend": "file:/none/x"})
    theatre.host.changes[0][2]("serial0: cannot write file /none/x")
    assert client.hear() == error("serial0: cannot write file /none/x")
    assert client.execute("query-chardev")["return"][0]["filename"] == "null"


@pytest.mark.parametrize(
    ("mode", "name", "backend", "text"),
    [
        (m.RunMode.RECORD, "zz", "null", "Chardev 'zz' does not exist"),
        (m.RunMode.RECORD, "rtc0", "null", "rtc0 has no backend that could be changed"),
        (m.RunMode.RECORD, "serial0", {"type": "vc", "data": {}},
         "Parameter 'backend.type' does not accept value 'vc'"),
        (m.RunMode.RECORD, "serial0", {"type": "file", "data": {}}, "Parameter 'backend.data.out' is missing"),
        (m.RunMode.RECORD, "serial0", 5, "Invalid parameter type for 'backend', expected: object"),
        (m.RunMode.REPLAY_LOG, "serial0", "null",
         "serial0: this replay runs without devices; replay with --devices live"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused_by_name(
    tmp_path: Path, mode: m.RunMode, name: str, backend: Any, text: str
) -> None:
    theatre = Theatre(tmp_path, mode).begin()
    assert theatre.qmp().execute("chardev-change", {"id": name, "backend": backend}) == error(text)
    assert theatre.host.changes == []
    theatre.close()


def test_a_ring_buffer_is_read_once_oldest_bytes_first(theatre: Theatre) -> None:
    client = theatre.qmp()
    assert client.execute("ringbuf-read", {"device": "serial0", "size": 9}) == error("serial0 is not a ringbuf device")
    assert client.execute("ringbuf-read", {"device": "zz", "size": 9}) == error("Device 'zz' not found")
    client.ask("chardev-change", {"id": "serial0", "backend": "ringbuf"})
    theatre.host.changes[0][2]("")
    client.hear()
    assert (
        "there is no ring buffer" in client.execute("ringbuf-read", {"device": "serial0", "size": 9})["error"]["desc"]
    )
    ring = RingWriter(ring_path(theatre.directory, "serial0"), 4096)
    ring.write(b"hello\n\xff")
    assert client.execute("ringbuf-read", {"device": "serial0", "size": 5}) == {"return": "hello"}
    encoded = client.execute("ringbuf-read", {"device": "serial0", "size": 5, "format": "base64"})
    assert encoded == {"return": "Cv8="}
    assert client.execute("ringbuf-read", {"device": "serial0", "size": 5}) == {"return": ""}
    assert client.execute("ringbuf-read", {"device": "serial0", "size": 0})["error"]
    ring.close()


def test_answers_are_one_document_in_a_line(theatre: Theatre) -> None:
    client = theatre.qmp()
    client.send(b'{"execute":"query-commands"}')
    answer = client.hear()
    assert json.dumps(answer).isascii()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    | st.sampled_from(("serial0", "usb0", "key", "btn", "rel", "abs", "qcode", "number", "a", "x", "socket", "base64")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(("type", "data", "down", "key", "axis", "value", "button", "addr")), inner),
    max_leaves=12,
)  # fmt: skip


@given(data=st.data(), name=st.sampled_from(sorted(COMMANDS)), mode=st.sampled_from(list(m.RunMode)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_command_is_given_it_has_an_answer(
    tmp_path: Path, data: st.DataObject, name: str, mode: m.RunMode
) -> None:
    with closing(Theatre(tmp_path, mode).begin()) as theatre:
        machine = Machine(BOARD, "", tmp_path, theatre.host, COMMANDS)
        known = COMMANDS[name].arguments
        given = {argument: data.draw(json_values) for argument in data.draw(st.sets(st.sampled_from([*known, "more"])))}
        answer = machine.execute(name, given)
        for _, _, done in theatre.host.changes:
            done("no")
        if theatre.record.hold.name == "PAUSING":
            theatre.stand_still()
        machine.notice()
        assert answer.done
        with suppress(CommandError):
            json.dumps(answer.value())
