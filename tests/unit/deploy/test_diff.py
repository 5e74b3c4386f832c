"""`dejavm diff`: two recordings side by side."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import cli
from deploy.reading.difference import compare
from machine.board import Board, DeviceSlot
from machine.codec import encode, type_of
from machine.frame import Frame
from machine.message import Access, AccessKind, DmaWrite, Done, HostOutput, IrqLevel, MmioAccess, Sync
from machine.recording.compare import divergence
from machine.recording.facts import GuestFile
from machine.recording.reader import Recording
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.message import Message


def told(frames: Sequence[Frame]) -> list[Frame]:
    """The messages with seq as a log numbers them."""
    return [frame._replace(seq=seq) for seq, frame in enumerate(frames, 1)]


def frame(message: Message, icount: int, source: int = 2, target: int = 1) -> Frame:
    return Frame(type_of(type(message)), source, target, icount, encode(message))


def diff(a: Path, b: Path, capsys: pytest.CaptureFixture[str], *, code: int) -> dict[str, Any]:
    assert cli.main(["diff", str(a), str(b), "--json"]) == code
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_a_recording_and_its_copy_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Neither its own id nor its date makes a run another.
    a = write(tmp_path / "a")
    b = write(tmp_path / "b", chunk=5, facts=replace(FACTS, id="11" * 16, created="2027"))
    facts = diff(a, b, capsys, code=0)
    assert (facts["same"], facts["machine"], facts["first"], facts["damage"]) == (True, [], None, [])
    assert facts["messages"] == {"same": 9, "differing": 0, "only_a": 0, "only_b": 0, "reordered": 0}
    assert sum(row["same"] for row in facts["channels"]) == 9
    assert cli.main(["diff", str(a), str(b)]) == 0
    assert capsys.readouterr().out == "9 messages, all the same\n"


def test_the_first_difference_is_told_with_what_came_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = list(FRAMES)
    other[6] = frame(Done(109), 2500)
    a, b = write(tmp_path / "a"), write(tmp_path / "b", told(other))
    first = diff(a, b, capsys, code=3)["first"]
    assert {key: first[key] for key in ("icount", "seq", "process", "type", "a", "b")} == {
        "icount": 2500,
        "seq": 7,
        "process": "serial0",
        "type": "done",
        "a": "value=108",
        "b": "value=109",
    }
    assert [row["seq"] for row in first["before"]] == [2, 3, 4, 5, 6]
    assert (first["message_a"]["payload"], first["message_b"]["payload"]) == ({"value": 108}, {"value": 109})
    assert cli.main(["diff", str(a), str(b)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "first difference at 2500/7 in serial0, done: A has value=108; B has value=109"
    assert [line[0] for line in lines[2:9]] == [*"     ", "A", "B"]
    assert lines[-2].split() == ["2", "1", "0", "0", "0", "serial0/done>cpu"]
    assert lines[-1].split() == ["8", "1", "0", "0", "0", "all", "channels"]


def test_long_messages_in_front_of_the_difference_are_shown_by_their_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = frame(HostOutput(b"x" * 5000), 2500, target=0)
    a = write(tmp_path / "a", told([*FRAMES[:6], long, *FRAMES[6:]]))
    b = write(tmp_path / "b", told([*FRAMES[:6], long, frame(Done(109), 2500), *FRAMES[7:]]))
    assert cli.main(["diff", str(a), str(b)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 200
    assert any(line.endswith("xxx...") for line in lines)


def test_a_message_that_only_one_has_does_not_make_all_others_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [*FRAMES[:5], frame(IrqLevel(True), 1200), *FRAMES[5:]]
    a, b = write(tmp_path / "a"), write(tmp_path / "b", told(more))
    facts = diff(a, b, capsys, code=3)
    assert facts["messages"] == {"same": 9, "differing": 0, "only_a": 0, "only_b": 1, "reordered": 0}
    assert facts["first"]["a"].startswith("MmioAccess(")
    assert facts["first"]["b"] == "IrqLevel(level=True) from serial0 to cpu at 1200"
    assert diff(b, a, capsys, code=3)["messages"]["only_a"] == 1


@pytest.mark.parametrize("swapped", [False, True])
def test_a_recording_that_ends_before_the_other_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], swapped: bool
) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", FRAMES[:-1])
    facts = diff(b, a, capsys, code=3) if swapped else diff(a, b, capsys, code=3)
    short, long = ("a", "b") if swapped else ("b", "a")
    first = facts["first"]
    assert (first[short], first[f"message_{short}"]) == ("nothing more", None)
    assert "End(" in first[long]
    assert (first["icount"], first["seq"]) == (4000, 9)
    assert facts["messages"][f"only_{long}"] == 1


def test_two_messages_in_another_order_are_reordered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [frame(IrqLevel(True), 5), frame(DmaWrite(0, b"x"), 5), frame(Done(), 5)]
    a, b = (write(tmp_path / n, told(r)) for n, r in (("a", rows), ("b", [rows[1], rows[0], rows[2]])))
    facts = diff(a, b, capsys, code=3)
    assert facts["messages"] == {"same": 1, "differing": 0, "only_a": 0, "only_b": 0, "reordered": 2}


def test_differences_of_the_machine_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = tuple(replace(s, backend="null", options=(("mac", "x"),)) for s in BOARD.devices[:1])
    board = replace(BOARD, append="quiet", devices=slots)
    kernel = GuestFile("kernel", "/k", 7, "ab" * 32)
    b = write(
        tmp_path / "b", FRAMES, board=board, facts=replace(FACTS, files=(kernel,), versions=(("python", "3.12"),))
    )
    a = write(tmp_path / "a")
    facts = diff(a, b, capsys, code=3)
    assert facts["first"] is None
    found = {row["key"]: (row["a"], row["b"]) for row in facts["machine"]}
    assert found["machine.append"] == ("", "quiet")
    assert found["device"] == ("serial0 rtc0", "serial0")
    assert found["device.serial0.backend"] == ("", "null")
    assert found["device.serial0.options.mac"] == ("", "x")
    assert found["device.rtc0.address"] == ("0x101000", "")
    assert found["recording.versions.python"] == ("3.11.2", "3.12")
    assert found["recording.file.kernel.sha256"] == ("", "ab" * 32)
    assert cli.main(["diff", str(a), str(b)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "machine.append: nothing | quiet"
    assert lines[-1] == "9 messages, all the same"


def test_nodes_are_told_apart_by_name_and_not_by_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = (DeviceSlot("nic0", "nic", 0x1000_1000, 1), *BOARD.devices)
    board = Board("tiny", devices=slots)
    moved = [f._replace(source=f.source + (f.source > 1), target=f.target + (f.target > 1)) for f in FRAMES]
    a = write(tmp_path / "a")
    same = diff(a, write(tmp_path / "b", moved, board=board), capsys, code=3)
    assert same["first"] is None
    assert same["messages"]["same"] == 9
    strange = told([*moved, frame(HostOutput(b"x"), 4000, 2, 0)])
    facts = diff(a, write(tmp_path / "c", strange, board=board), capsys, code=3)
    assert facts["first"]["process"] == "nic0"
    assert facts["first"]["message_b"]["source"] == "nic0"
    assert facts["channels"][-1]["source"] == "nic0"


def test_damaged_logs_are_compared_as_far_as_they_are_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    log = b / "log.mcap"
    log.write_bytes(log.read_bytes()[:-900])
    assert cli.main(["diff", str(a), str(b), "--json"]) == 4
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert "log ends at byte" in facts["damage"][0]
    assert err == f"dejavm: {facts['damage'][0]}\n"
    assert facts["same"] is False
    assert facts["messages"]["same"] + facts["messages"]["only_a"] == 9


@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_no_recording_is_exit_code_4(tmp_path: Path, capsys: pytest.CaptureFixture[str], swapped: bool) -> None:
    paths = [str(write(tmp_path / "a")), str(tmp_path)]
    assert cli.main(["diff", *(paths[::-1] if swapped else paths)]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def wordings(left: Message, right: Message) -> tuple[str, str]:
    found = divergence(frame(left, 0), frame(right, 0), str)
    return found.expected, found.actual


def test_a_difference_far_inside_a_message_is_shown() -> None:
    long = bytes(5000)
    assert wordings(DmaWrite(0, long + b"a"), DmaWrite(0, long + b"b")) == (
        "data[4992:]=000000000000000061", "data[4992:]=000000000000000062",
    )  # fmt: skip
    row = (Access(AccessKind.WRITE, 0, 1, 65),) * 900
    last = (Access(AccessKind.WRITE, 0, 1, 66),)
    assert wordings(MmioAccess((*row, row[0])), MmioAccess(row + last)) == (
        "accesses[900].value=65", "accesses[900].value=66",
    )  # fmt: skip
    left, right = wordings(MmioAccess(row), MmioAccess(row + last))
    assert left == "accesses[900]=nothing"
    assert right.startswith("accesses[900]=Access(")
    assert wordings(HostOutput(b"ab"), HostOutput(b"abc")) == ("data=6162", "data=616263")
    assert wordings(Sync(timer_ns=None), Sync(timer_ns=5)) == ("timer_ns=nothing", "timer_ns=5")


def test_other_bytes_of_one_message_are_shown_as_bytes() -> None:
    usual, odd = frame(Done(2), 0), frame(Done(2), 0)._replace(payload=b"\x08\x01\x08\x02")
    found = divergence(usual, odd, str)
    assert (found.expected, found.actual) == ("payload=0802", "payload=08010802")


@st.composite
def pairs_of_runs(draw: st.DrawFn) -> tuple[list[Frame], list[Frame]]:
    """Two rows of messages that have much in common."""
    rows = st.lists(
        st.builds(frame, st.sampled_from([Done(), Done(1), IrqLevel(True), HostOutput(b"x")]), st.integers(0, 6)),
        max_size=12,
    )
    a = draw(rows)
    b = draw(rows) if draw(st.booleans()) else [f for f in a if draw(st.integers(0, 5))]
    return told(sorted(a, key=lambda f: f.icount)), told(sorted(b, key=lambda f: f.icount))


@given(runs=pairs_of_runs())
@settings(max_examples=80, deadline=None)
def test_every_message_is_counted_once_and_only_equal_runs_have_no_difference(
    runs: tuple[list[Frame], list[Frame]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        a, b = (Recording.open(write(Path(directory) / n, r)) for n, r in zip("ab", runs, strict=True))
        result = compare(a, b)
    assert (result.first is None) == (runs[0] == runs[1])
    total = result.total()
    both = total.same + total.differing + total.reordered
    assert (both + total.only_a, both + total.only_b) == (len(runs[0]), len(runs[1]))
    # Nothing can be the same that the other does not have.
    common = Counter(f._replace(seq=0) for f in runs[0]) & Counter(f._replace(seq=0) for f in runs[1])
    assert total.same + total.reordered <= common.total()
    assert (total.differing + total.only_a + total.only_b + total.reordered == 0) == (runs[0] == runs[1])
