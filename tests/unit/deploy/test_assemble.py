"""`dejavm assemble`: what `dump --json` has printed becomes the same recording again."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import cli
from deploy.message_text import MessageText
from deploy.reading.payload import from_plain, read_payload, to_plain
from machine import codec
from machine.board import Board, DeviceSlot
from machine.codec import MESSAGES, encode, type_of
from machine.frame import Frame
from machine.message import Digest, DigestScope, HostEvent, HostInput, Message
from machine.recording.format import node_name
from machine.recording.reader import Recording
from machine.recording.times import host_times
from tests.unit.machine.recordings import FRAMES, write
from tests.unit.machine.test_codec import any_message, messages_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGED = [number for number in MESSAGES if number >= 32]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of the command."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(list(map(str, arguments)))
    return code, out.getvalue(), err.getvalue()


def rows_of(path: Path) -> list[dict[str, Any]]:
    """A recording's dump."""
    return [json.loads(line) for line in run("dump", path, "--json")[1].splitlines()]


def assemble(directory: Path, rows: Sequence[object], *options: str | Path) -> tuple[int, str, str]:
    """Assemble `new.dejavm` of a dump."""
    dump = directory / "dump.json"
    dump.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return run("assemble", dump, "-o", directory / "new.dejavm", *options)


@pytest.mark.parametrize("cls", [cls for cls, _ in MESSAGES.values()], ids=lambda cls: cls.__name__)
def test_every_message_comes_back_from_json(cls: type) -> None:
    number = type_of(cls)

    @given(message=messages_of(cls))
    @settings(max_examples=15, deadline=None)
    def check(message: Message) -> None:
        payload = encode(message)
        assert read_payload(number, payload) == (message, True)
        assert from_plain(number, json.loads(json.dumps(to_plain(message)))) == payload

    check()


@given(message=any_message, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes_come_back_from_json(message: Message, data: st.DataObject) -> None:
    payload = bytearray(encode(message))
    for _ in range(data.draw(st.integers(0, 3))):
        if payload:
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload += data.draw(st.binary(max_size=8))
    frame = Frame(type_of(type(message)), 0, 1, 5, bytes(payload), 1)
    row = json.loads(MessageText(str).json(frame))
    back = bytes.fromhex(row["raw"]) if "raw" in row else from_plain(frame.type, row["payload"])
    assert back == frame.payload


@st.composite
def recorded(draw: st.DrawFn) -> list[Frame]:
    """Messages as a log may have them: sound and not, of nodes that are on the board and not."""
    sound = st.sampled_from(LOGGED).flatmap(
        lambda number: messages_of(codec.MESSAGES[number][0]).map(lambda message: (number, encode(message)))
    )
    contents = sound | st.tuples(st.sampled_from(LOGGED), st.binary(max_size=30))
    nodes = st.integers(0, 4) | st.integers(0, 0xFFFF)
    rows = draw(st.lists(st.tuples(contents, nodes, nodes, st.integers(0, 2**64 - 1)), min_size=1, max_size=12))
    return [
        Frame(kind, source, target, icount, payload, seq)
        for seq, ((kind, payload), source, target, icount) in enumerate(rows, 1)
    ]


@given(frames=recorded(), chunk=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_any_recording_comes_back_byte_for_byte(frames: list[Frame], chunk: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "old.dejavm", frames, chunk=chunk)
        code, _, err = assemble(Path(directory), rows_of(path))
        assert code == 0, err
        new = Recording.open(Path(directory) / "new.dejavm")
        assert list(new.frames()) == frames
        assert list(host_times(new.path / "log.mcap")) == list(host_times(path / "log.mcap"))
        old = Recording.open(path)
        assert (new.board, new.facts) == (old.board, old.facts)


def test_a_clean_recording_comes_back_with_its_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "old.dejavm")
    code, out, err = assemble(tmp_path, rows_of(path), "--json")
    digest = Recording.open(path).summary().digest.hex()
    assert code == 0
    made = str(tmp_path / "new.dejavm")
    assert json.loads(out) == {"path": made, "messages": 9, "instructions": 4000, "final_digest": digest}
    assert err.startswith(f"assembled {made}: 4,000 instructions, 9 messages, ")
    assert Recording.open(tmp_path / "new.dejavm").clean_end
    assert run("diff", path, made)[0] == 0


def test_a_dump_is_read_from_standard_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "old.dejavm")
    dump = tmp_path / "dump"
    dump.write_text(run("dump", path, "--json")[1])
    with dump.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert run("assemble", "-", "-o", tmp_path / "new.dejavm")[0] == 0
    assert run("diff", path, tmp_path / "new.dejavm")[0] == 0


def test_an_edited_dump_is_another_run(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "old.dejavm"))
    rows[3]["payload"]["data"] = b"pwd\n".hex()
    assert assemble(tmp_path, rows)[0] == 0
    frame = list(Recording.open(tmp_path / "new.dejavm").frames())[3]
    assert codec.decode(frame.type, frame.payload) == HostInput(HostEvent.DATA, b"pwd\n")


def test_a_field_that_is_left_out_has_its_default(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "old.dejavm"))
    del rows[3]["payload"]["delay_ns"], rows[3]["host_ns"], rows[3]["class"]
    assert assemble(tmp_path, rows)[0] == 0
    assert list(Recording.open(tmp_path / "new.dejavm").frames()) == list(FRAMES)


def test_the_machine_may_come_from_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "old.dejavm")
    rows = rows_of(path)
    del rows[0]["machine"]
    code, _, err = assemble(tmp_path, rows)
    assert code == 2
    assert "does not bring its machine with it" in err
    for number, place in enumerate((path, path / "machine.toml")):
        (tmp_path / str(number)).mkdir()
        assert assemble(tmp_path / str(number), rows, "--machine", place)[0] == 0
    assert run("assemble", tmp_path / "dump.json", "--machine", tmp_path / "nothing")[0] == 2


WRONG: Sequence[tuple[dict[str, object], str]] = [
    ({"seq": 7}, "seq: message 7 where 4 belongs"),
    ({"icount": -1}, "icount: -1 is not a whole number"),
    ({"icount": 2**64}, "icount: 18446744073709551616 is not"),
    ({"icount": True}, "icount: True is not"),
    ({"icount": 1.5}, "icount: 1.5 is not"),
    ({"host_ns": "now"}, "host_ns: 'now' is not"),
    ({"source": "serial9"}, "source: 'serial9' is no node of this machine: broker, cpu, serial0, rtc0"),
    ({"target": "node1"}, "target: 'node1' is no node"),
    ({"target": None}, "target: None is no node"),
    ({"target": 2}, "type, source, target and class are strings"),
    ({"type": "hello"}, "type: 'hello' is no message that is ever recorded"),
    ({"type": "type_63"}, "type: 'type_63' is no message"),
    ({"type": "digest"}, "class: messages of type digest are derived"),
    ({"class": "derived"}, "class: messages of type host_input are input"),
    ({"raw": "abc"}, "raw: 'abc' is not a string of hex digits"),
    ({"payload": "xy"}, "payload: 'xy' is not a string of hex digits"),
    ({"payload": None}, "payload: None is not an object"),
    (
        {"payload": {"event": "data", "dat": ""}},
        "payload.dat: no such field; there are event, data, delay_ns, by_monitor",
    ),
    ({"payload": {}}, "payload.event: missing"),
    ({"payload": {"event": "explosion"}}, "payload.event: 'explosion' is none of data, writable"),
    ({"payload": {"event": "data", "data": 7}}, "payload.data: 7 is not a string of hex digits"),
    ({"payload": {"event": "data", "delay_ns": "7"}}, "payload.delay_ns: '7' is not a whole number"),
    ({"payload": {"event": "data", "delay_ns": True}}, "payload.delay_ns: True is not a whole number"),
    ({"payload": {"event": "data", "delay_ns": -7}}, "payload: cannot encode HostInput"),
    ({"type": "type_99", "class": "derived", "payload": ""}, "type: 'type_99' is no message"),
    ({"type": "mmio_access", "class": "derived", "payload": {"accesses": {}}}, "payload.accesses: {} is not a list"),
    ({"type": "mmio_access", "class": "derived", "payload": {"accesses": [1]}}, "payload.accesses[0]: 1 is not an"),
    ({"type": "irq_level", "class": "derived", "payload": {"level": 1}}, "payload.level: 1 is not true or false"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else None)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_left(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    rows = rows_of(write(tmp_path / "old.dejavm"))
    rows[3].update(change)
    code, _, err = assemble(tmp_path, rows)
    assert code == 2
    assert f"line 4: {words}" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new.dejavm").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not bring its machine"),
        ("\n\n", "does not bring its machine"),
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: not an object"),
        ("[" * 100_000, "line 1: not JSON"),
        ('{"machine": "[machine"}', "machine: not TOML"),
        ('{"machine": "x = 1"}', "this is not a recording"),
        ('{"machine": 7}', "does not bring its machine"),
    ],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dump").write_text(text)
    code, _, err = run("assemble", tmp_path / "dump", "-o", tmp_path / "new.dejavm")
    assert code in (2, 4)
    assert words in err
    assert not (tmp_path / "new.dejavm").exists()


def test_a_file_that_is_not_there_or_no_text_is_a_usage_error(tmp_path: Path) -> None:
    assert run("assemble", tmp_path / "nothing")[0] == 2
    (tmp_path / "dump").write_bytes(b"\xff\xfe\xfd\n")
    code, _, err = run("assemble", tmp_path / "dump", "-o", tmp_path / "new.dejavm")
    assert code == 2
    assert "not text" in err


def test_a_recording_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "new.dejavm")
    log = (path / "log.mcap").read_bytes()
    code, _, err = assemble(tmp_path, rows_of(path))
    assert code == 2
    assert "exists already" in err
    assert (path / "log.mcap").read_bytes() == log


def test_a_filtered_dump_is_no_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "o.dejavm")
    rows = [json.loads(line) for line in run("dump", path, "--json", "--type", "done")[1].splitlines()]
    code, _, err = assemble(tmp_path, rows, "--machine", path)
    assert code == 2
    assert "line 1: seq: message 2 where 1 belongs; dump without filters" in err


def test_a_board_that_calls_a_device_by_another_number_is_understood(tmp_path: Path) -> None:
    board = Board("odd", devices=(DeviceSlot("node3", "serial", 0x1000_0000, 10),))
    digest = encode(Digest(DigestScope.ALL, bytes(32)))
    frames = [Frame(75, source, 0, 7, digest, seq) for seq, source in enumerate((2, 3, 4), 1)]
    rows = rows_of(write(tmp_path / "old.dejavm", frames, board=board))
    assert [row["source"] for row in rows] == ["node3", "#3", "node4"]
    assert assemble(tmp_path, rows)[0] == 0
    assert list(Recording.open(tmp_path / "new.dejavm").frames()) == frames


@given(names=st.lists(st.sampled_from(["node2", "node3", "node5", "x"]), unique=True), data=st.data())
@settings(deadline=None)
def test_no_two_nodes_have_one_name(names: list[str], data: st.DataObject) -> None:
    board = ("broker", "cpu", *names)
    told = [node_name(board, number) for number in range(8)]
    assert len(set(told)) == len(told)
