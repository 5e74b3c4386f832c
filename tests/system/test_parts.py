"""A recording verified and analysed in parts, here and on a Dask cluster: the answer of one pass."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cpu_node import state as cpu
from deploy.analysis import verification
from deploy.analysis.crew import Crew
from deploy.analysis.segments import Segment
from deploy.analysis.verification import run_in_parts, tasks_of, verify_in_parts
from deploy.analysis.work import Task
from machine import vmstate
from machine.analysis.coverage import Coverage
from machine.board import render_board
from machine.errors import EXIT_DIVERGED, EXIT_UNREADABLE, MachineError
from machine.recording.files import board_here
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from tests.devices.ticker import ADDRESS
from tests.harness.guests import BARE, DMACOPY, guest
from tests.harness.machine import TIMEOUT_S, spoil_pages
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EVERY = 3_000_000
SYMBOLS = "0000000080200000 T begin\n0000000080200100 T middle\n0000000080210000 T never\n"
MINE = """
from machine.analysis.base import Analysis

class Looks(Analysis):
    every = 1 << 20

    def begin(self, machine):
        self.looks = 0

    def look(self, machine):
        self.looks += 1

    def end(self, machine):
        return [self.looks, machine.icount]

    def combine(self, parts):
        return {"looks": sum(looks for looks, _ in parts), "end": parts[-1][1], "parts": len(parts)}
"""


@pytest.fixture
def recording(home: Home) -> Path:
    """A guest that computes, and snapshots of it."""
    path = home.record("bare", "--kernel", guest("compute"), "--serial", "null")
    made = home.run("snapshots", path, "--make", str(EVERY))
    assert made.exit_code == 0, made.stderr
    return path


def verdict(home: Home, recording: Path, *args: str) -> dict[str, Any]:
    """What verify says, but how long it took and in how many parts."""
    done = home.run("verify", recording, "--json", *args)
    assert done.exit_code == 0, done.stderr
    return {key: value for key, value in done.json.items() if key not in ("seconds", "parts")}


def test_parts_give_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    whole = verdict(home, recording)
    assert verdict(home, recording, "--jobs", "1") == whole
    assert verdict(home, recording, "--jobs", "3") == whole
    assert home.run("verify", recording, "--json", "--jobs", "3").json["parts"] == 3
    assert home.run("verify", recording, "--jobs", "0").exit_code == 2


def test_a_long_recording_has_more_parts_than_are_replayed_at_a_time(
    home: Home, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.analysis.segments.LEAST_PART", 10**6)
    opened = Recording.open(recording)
    for at_a_time in (2, 3):
        with Crew() as crew:
            found = verify_in_parts(opened, at_a_time, crew)
        assert int(str(found.facts["parts"])) > at_a_time
        said = {key: value for key, value in found.facts.items() if key not in ("seconds", "parts")}
        assert said == verdict(home, recording)
    with Crew() as crew:
        answers, _ = run_in_parts(opened, 2, crew, ("coverage",))
    whole = home.run("analyse", recording, "--ask", "coverage", "--jobs", "1")
    assert Coverage().combine([answer["found"] for answer in answers]) == json.loads(whole.stdout)


def test_there_are_no_more_parts_than_snapshots_make(home: Home, recording: Path) -> None:
    done = home.run("verify", recording, "--json", "--jobs", str(10**9))
    assert done.exit_code == 0
    assert done.json["parts"] == 1 + len(SnapshotStore(recording, Recording.open(recording).facts.id).list())


def test_parts_behind_another_run_are_not_waited_for(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Task(str(recording), "", Segment(number, number + 1, number, number + 1)) for number in range(4)]
    ends = dict(zip(parts, (os.pipe() for _ in parts), strict=True))
    monkeypatch.setattr(Crew, "_order", lambda _, task, _at_a_time: os.fdopen(ends[task][0], "rb", 0))
    said: list[dict[str, Any]] = [
        {},
        {"divergence": "another run", "at": 1, "seq": 1},
        {"failed": "too late", "exit_code": 4},
    ]
    with Crew() as crew, crew.at_work(parts, 9) as answers:
        # The last one first; and of the fourth nothing is heard.
        for task, answer in reversed(list(zip(parts, said, strict=False))):
            os.write(ends[task][1], json.dumps(answer).encode())
            os.close(ends[task][1])
        assert answers() == said[:2]
    os.close(ends[parts[-1]][1])


def test_parts_are_told_by_what_the_replay_has_taken_that_made_the_snapshots(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Recording.open(recording)
    heads = SnapshotStore(recording, opened.facts.id).list()
    work = [head.work_ns for head in heads]
    assert len(work) > 2
    assert work[0] > 0
    assert work == sorted(work)
    for hard in (0, len(heads) - 1):
        # As if nearly all of the work were in front of this one.
        said = tuple(replace(head, work_ns=10**7 * (1 + 100 * (n >= hard)) + n) for n, head in enumerate(heads))
        monkeypatch.setattr(SnapshotStore, "list", lambda _, said=said: said)
        assert [task.segment.first for task in tasks_of(opened, 2)] == [0, heads[hard].number]


def test_the_last_part_is_shorter_by_what_it_takes_to_load_memory_and_to_hash_it_at_the_end(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Recording.open(recording)
    heads = SnapshotStore(recording, opened.facts.id).list()
    tenth, pages_of_it = 10**8, 10**5
    # A page in a microsecond and a half, and in two and a half; tenths of seconds, or it were a long recording.
    for pages, cut in ((0, 8), (2 * pages_of_it, 12)):
        said = tuple(replace(head, work_ns=tenth * (1 + n), pages=pages) for n, head in enumerate(heads))
        monkeypatch.setattr(SnapshotStore, "list", lambda _, said=said: said)
        assert [task.segment.first for task in tasks_of(opened, 2)] == [0, heads[cut - 1].number]


def test_parts_of_a_long_log_are_told_by_the_messages_in_front_of_its_snapshots(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Recording.open(recording)
    heads = SnapshotStore(recording, opened.facts.id).list()
    monkeypatch.setattr(verification, "MOST_MESSAGES", 1)
    for talks in (1, len(heads) - 1):
        # As if nearly all that is said had been said in front of this one, and none of it had been measured.
        said = tuple(replace(head, work_ns=0, seq=10**6 * (n >= talks)) for n, head in enumerate(heads))
        monkeypatch.setattr(SnapshotStore, "list", lambda _, said=said: said)
        assert [task.segment.first for task in tasks_of(opened, 2)] == [0, heads[talks].number]


def test_parts_of_a_cut_give_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    cut = home.work / "cut.dejavm"
    made = home.run("cut", recording, "--from", str(2 * EVERY), "--to", str(4 * EVERY), "-o", cut)
    assert made.exit_code == 0, made.stderr
    # What is in front of it is no work of its replay's.
    assert [head.work_ns for head in SnapshotStore(cut, Recording.open(cut).facts.id).list()] == [0]
    assert verdict(home, cut, "--jobs", "2") == verdict(home, cut)
    assert verdict(home, cut)["bit_exact"]


def test_a_part_begins_and_ends_anywhere_in_a_guest_s_sleep(home: Home) -> None:
    path = home.work / "a.dejavm"
    line = ("bare", "--kernel", guest("nap"), "--serial", "null", "--input", "kbd", "--sleep", "on")
    running = home.start("record", *line, "-o", path)
    key = {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}
    with Qmp(home) as qmp:
        for name in "abcd":
            qmp.execute("snapshot-save", tag=name)
            # Time goes on, and nothing wakes the guest.
            qmp.execute("input-send-event", events=[key])
    assert running.finish().exit_code == 0
    opened = Recording.open(path)
    store = SnapshotStore(path, opened.facts.id)
    asleep = [head for head in store.list() if not head.front]
    assert len(asleep) > 2
    assert len({store.read(head.number).nodes[0].state for head in asleep}) == len(asleep)
    text = render_board(board_here(opened, tuple))
    numbers = [0, *(head.number for head in asleep), 0]
    pairs = [*pairwise(numbers), *((0, number) for number in numbers)]
    with Crew() as crew:
        for first, last in pairs:
            with crew.at_work([Task(str(path), text, Segment(first, last, 0, 1))], 1) as answers:
                assert "divergence" not in answers()[0], (first, last)
    assert verdict(home, path, "--jobs", "2") == verdict(home, path)


def test_a_part_that_ends_in_another_sleep_s_state_is_a_difference(home: Home, recording: Path) -> None:
    snapshot = SnapshotStore(recording, Recording.open(recording).facts.id).read(2)
    SnapshotWriter(recording, snapshot.recording).add(replace(snapshot, number=0, front=False), (), 2)
    done = home.run("verify", recording, "--jobs", "99")
    assert done.exit_code == EXIT_DIVERGED
    assert "snapshot: expected the snapshot's place; actual the replay's end at" in done.complaint


def test_a_part_ends_at_an_older_state_of_the_cpu_that_tells_no_floating_point_exceptions(
    home: Home, recording: Path
) -> None:
    snapshot = SnapshotStore(recording, Recording.open(recording).facts.id).read(2)
    now = vmstate.decode(cpu.NodeState, snapshot.nodes[0].state)
    then = cpu.NodeState1(**{field.name: getattr(now, field.name) for field in fields(cpu.NodeState1)})
    nodes = (replace(snapshot.nodes[0], state=vmstate.encode(then)),)
    head = SnapshotWriter(recording, snapshot.recording).add(replace(snapshot, number=0, nodes=nodes), (), 2)
    assert head.number in [task.segment.last for task in tasks_of(Recording.open(recording), 99)]
    assert verdict(home, recording, "--jobs", "99") == verdict(home, recording)


def test_a_bit_that_flips_is_seen_where_the_next_part_begins(home: Home, recording: Path) -> None:
    opened = Recording.open(recording)
    board = home.file("board.toml", render_board(board_here(opened, tuple)))
    command = [sys.executable, "-P", "-m", "cpu_node.timeline.segment", str(recording), "--board", str(board)]
    flip = ["--last", "1", "--flip-at", "1000000", "--flip-bit", str(8 * (32 << 20))]
    env = home.environment()
    done = subprocess.run([*command, *flip], capture_output=True, text=True, timeout=TIMEOUT_S, check=True, env=env)
    found = json.loads(done.stdout)
    assert "expected page 0x82000000 as in snapshot 1; actual other bytes" in found["divergence"]
    assert found["at"] >= EVERY


def test_a_part_that_cannot_be_replayed_says_why(home: Home, recording: Path) -> None:
    part = home.work / "part.dejavm"
    assert home.run("cut", recording, "--from", str(3 * EVERY), "-o", part).exit_code == 0
    # The file of what it begins with is whole, a page is not: nobody sees that before the pages are unpacked.
    spoil_pages(part)
    done = home.run("verify", part, "--jobs", "9")
    assert done.exit_code == EXIT_UNREADABLE, done.stderr
    assert re.search(r"instructions [\d,]+ to [\d,]+: \S+/00000001\.pages: frame 0 is", done.stderr)
    assert done.stdout == ""


def children() -> set[int]:
    """The processes that this one has started."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def kill_at_work(crew: Crew, forker: int, recording: Path) -> None:
    """Have a part replayed by processes that are killed."""
    with crew.at_work([Task(str(recording), "", Segment(0, 1, 0, EVERY))], 1) as answers:
        os.kill(forker, signal.SIGKILL)
        answers()


def test_a_part_whose_process_has_died_is_named(recording: Path) -> None:
    before = children()
    with Crew() as crew:
        (forker,) = children() - before
        # Stopped, it lets the order lie.
        os.kill(forker, signal.SIGSTOP)
        with pytest.raises(MachineError, match="0 to 3,000,000: the process that replayed them has died"):
            kill_at_work(crew, forker, recording)


def test_a_part_that_nobody_is_there_for_is_named(recording: Path) -> None:
    before = children()
    with Crew() as crew:
        (forker,) = children() - before
        os.kill(forker, signal.SIGKILL)
        os.waitid(os.P_PID, forker, os.WEXITED | os.WNOWAIT)
        with pytest.raises(MachineError, match="0 to 3,000,000: nobody is there to replay them: Broken pipe"):
            kill_at_work(crew, forker, recording)


def test_coverage_by_symbol_is_the_same_in_any_number_of_parts(home: Home, recording: Path) -> None:
    symbols = home.file("System.map", SYMBOLS)
    one = home.run("analyse", recording, "--ask", "coverage", "--jobs", "1")
    three = home.run("analyse", recording, "--ask", "coverage", "--jobs", "3")
    assert one.stdout == three.stdout
    assert json.loads(one.stdout)[0][0] >= 0x80200000
    named = home.run("analyse", recording, "--symbols", symbols, "--lcov", home.work / "c.info", "--jobs", "2")
    assert named.exit_code == 0, named.stderr
    assert next(line.split()[-1] for line in named.stdout.splitlines()) == "begin"
    tracefile = home.work / "c.info"
    assert "FNDA:0,never" in tracefile.read_text()
    # lcov's own programs take it.
    drawn = subprocess.run(
        ["genhtml", tracefile, "-o", home.work / "html"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert "(2 of 3 functions)" in drawn.stdout, drawn.stdout


def test_who_wrote_is_the_same_in_any_number_of_parts_and_is_all_that_changes(home: Home, recording: Path) -> None:
    where = ("0x80203000", "16")
    one, three = (home.run("analyse", recording, "--ask", "writes", *where, "--jobs", jobs) for jobs in ("1", "3"))
    assert (one.exit_code, one.stdout) == (0, three.stdout), one.stderr
    rows: Any = one.json
    assert len(rows) > 10
    assert all(device == "" and 0x80200000 <= pc < 0x80210000 for _, pc, device, _ in rows)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    changes: Any = home.run("analyse", recording, "--ask", "changes", *where).json
    for start, end, before, after in changes:
        assert before == next((row[3] for row in reversed(rows) if row[0] < start), bytes(16).hex())
        assert after == next(row[3] for row in reversed(rows) if row[0] < end)
    assert home.run("analyse", recording, "--ask", "writes", "0x80203000", "4097").exit_code == 2


def test_a_device_that_wrote_is_named(home: Home) -> None:
    board = home.file("dma.toml", BARE + DMACOPY)
    recording = home.record(board, "--kernel", guest("dma"), "--serial", "null", timeout_s=2 * TIMEOUT_S)
    done = home.run("analyse", recording, "--ask", "writes", "0x80202000", "4096", "--jobs", "1")
    rows: Any = done.json
    assert {device for _, _, device, _ in rows} == {"", "dma0"}, done.stderr
    symbols = home.file("System.map", "0000000080200000 T begin\n")
    named = home.run("analyse", recording, "--ask", "writes", "0x80202000", "4096", "--symbols", symbols)
    lines = [line.split() for line in named.stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        [f"{icount:,}", device or "cpu", f"{pc:#018x}"] for icount, pc, device, _ in rows
    ]  # fmt: skip
    assert all(line[3].startswith("begin") for line in lines)


def test_a_device_that_writes_several_times_where_the_cpu_stands_is_told_each_time_once(home: Home) -> None:
    ticker = '[[device]]\nname = "tick0"\nkind = "tests.devices.ticker:SPEC"\naddress = 0x10010000\n'
    board = home.file("tick.toml", BARE + ticker)
    recording = home.record(board, "--kernel", guest("doze"), "--serial", "null", "--sleep", "off")
    lay(home, recording, 400)
    where = ("--ask", "writes", f"{ADDRESS:#x}", "8")
    rows: Any = home.run("analyse", recording, *where, "--jobs", "1").json
    assert [int.from_bytes(bytes.fromhex(row[3]), "little") for row in rows] == list(range(1, len(rows) + 1))
    assert len({(icount, pc) for icount, pc, _, _ in rows}) < len(rows)
    assert home.run("analyse", recording, *where, "--jobs", "99").json == rows
    # At the end of a part nothing has happened yet that is the next one's.
    changes: Any = home.run("analyse", recording, "--ask", "changes", f"{ADDRESS:#x}", "8", "--jobs", "99").json
    assert all(before == after for (_, _, _, before), (_, _, after, _) in pairwise(changes))


def lay(home: Home, recording: Path, every: int) -> None:
    """Make more snapshots than the command line would."""
    board = home.file("board.toml", render_board(board_here(Recording.open(recording), tuple)))
    command = [sys.executable, "-P", "-m", "cpu_node.timeline.laying", str(recording), "--board", str(board)]
    subprocess.run([*command, "--every", str(every)], check=True, timeout=TIMEOUT_S, env=home.environment())


def test_an_analysis_of_one_s_own_runs_the_same_way(home: Home, recording: Path) -> None:
    home.file("mine.py", MINE)
    done = home.run("analyse", recording, "--jobs", "2", "--ask", "mine:Looks")
    assert done.exit_code == 0, done.stderr
    assert (done.json["parts"], done.json["end"]) == (2, Recording.open(recording).end_icount)
    assert done.json["looks"] > 3


def test_a_dask_cluster_gives_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    whole = verdict(home, recording)
    with dask(home) as address:
        assert verdict(home, recording, "--scheduler", address) == whole
        assert home.run("verify", recording, "--json", "--scheduler", address).json["parts"] == 2
    done = home.run("verify", recording, "--scheduler", address)
    assert (done.exit_code, "no Dask scheduler there" in done.complaint) == (2, True), done.stderr


@contextmanager
def dask(home: Home) -> Iterator[str]:
    """The address of a scheduler on the loopback with two workers of one thread each."""
    place = home.work / "scheduler.json"
    command = [sys.executable, "-m", "dask"]
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)]
    worker = ["worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker += ["--host", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": home.environment(), "cwd": home.work}
    started = [subprocess.Popen([*command, *scheduler], **quiet)]  # type: ignore[call-overload]  # the same for all
    try:
        # It is there before it is written; only the last brace stands at the beginning of a line.
        home.await_bytes(place, b"\n}")
        started += [subprocess.Popen([*command, *worker], **quiet) for _ in range(2)]  # type: ignore[call-overload]
        address = str(json.loads(place.read_text())["address"])
        wait = f"from distributed import Client; Client({address!r}).wait_for_workers(2, timeout={TIMEOUT_S})"
        subprocess.run([sys.executable, "-c", wait], check=True, timeout=TIMEOUT_S, env=home.environment())
        yield address
    finally:
        # A worker that is told to terminate waits for a scheduler that was told so, too.
        for process in started:
            process.kill()
        for process in started:
            process.wait(TIMEOUT_S)
