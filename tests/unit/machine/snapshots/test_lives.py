"""Whatever is done to a recording's snapshots, in whatever order and by however many, each that is there is right."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machine.errors import MissingSnapshot
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.vmstate import encode
from tests.unit.machine.snapshots.scenes import RECORDING, ZERO_PAGE, Memory, files, loaded, pages, seen, snapshot

PAGES = 24
few_contents = st.integers(0, 12).map(lambda n: bytes([n]) * PAGE_BYTES)
changes = st.dictionaries(st.integers(0, PAGES - 1), few_contents, max_size=PAGES)


class Lives(RuleBasedStateMachine):
    """Two writers and a reader of one recording, and what they should see."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.writers = [SnapshotWriter(self.path, RECORDING), SnapshotWriter(self.path, RECORDING, 900)]
        self.store = SnapshotStore(self.path, RECORDING)
        self.memories: dict[int, Memory] = {}
        self.labels: set[int] = set()
        self.last = [(0, Memory()), (0, Memory())]
        """What each writer added last; it may be gone."""

    def teardown(self) -> None:
        for writer in self.writers:
            writer.close()
        SnapshotWriter(self.path, RECORDING).thin()
        heads = SnapshotStore(self.path, RECORDING).list()
        assert sum(head.bytes for head in heads) == sum(map(len, files(self.path).values()))
        self.folder.cleanup()

    @rule(which=st.integers(0, 1), icount=st.integers(0, 1000), memory=changes, named=st.booleans())
    def add_whole(self, which: int, icount: int, memory: Memory, named: bool) -> None:
        self._add(which, icount, memory, None, named)

    @precondition(lambda self: self.memories)
    @rule(which=st.integers(0, 1), icount=st.integers(0, 1000), changed=changes, data=st.data(), named=st.booleans())
    def add_changes(self, which: int, icount: int, changed: Memory, data: st.DataObject, named: bool) -> None:
        self._add(which, icount, changed, data.draw(st.sampled_from(sorted(self.memories))), named)

    @rule(which=st.integers(0, 1), icount=st.integers(0, 1000), changed=changes)
    def add_to_its_last(self, which: int, icount: int, changed: Memory) -> None:
        """Another writer may have taken the last and its pages away; nobody else."""
        number, before = self.last[which]
        if number:
            try:
                self._add(which, icount, changed, number, False, before)
            except MissingSnapshot:
                assert number not in self.memories

    def _add(
        self, which: int, icount: int, changed: Memory, base: int | None, named: bool, before: Memory | None = None
    ) -> None:
        state = snapshot(0, icount=icount, label="x" if named else "", memory_pages=PAGES)
        if before is None:
            before = self.memories[base] if base is not None else {}
        number = self.writers[which].add(state, pages(changed), base).number
        assert number not in self.memories
        self.memories[number] = seen({**before, **changed})
        self.last[which] = number, self.memories[number]
        if named:
            self.labels.add(number)

    @precondition(lambda self: self.memories)
    @rule(which=st.integers(0, 1), data=st.data())
    def delete(self, which: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.memories)))
        self.writers[which].delete(number)
        del self.memories[number]
        self.labels.discard(number)

    @rule(which=st.integers(0, 1))
    def thin(self, which: int) -> None:
        for number in self.writers[which].thin():
            assert number not in self.labels
            del self.memories[number]

    @rule(which=st.integers(0, 1))
    def start_anew(self, which: int) -> None:
        self.writers[which] = SnapshotWriter(self.path, RECORDING)
        self.last[which] = 0, {}
        self.store = SnapshotStore(self.path, RECORDING)

    @precondition(lambda self: hasattr(self, "memories"))
    @invariant()
    def everything_is_right(self) -> None:
        heads = self.store.list()
        assert self.store.damage == ()
        assert {head.number for head in heads} == self.memories.keys()
        for number, memory in self.memories.items():
            assert loaded(self.store, number, PAGES) == memory
        if (self.path / "snapshots").exists():
            assert sum(head.bytes for head in heads) <= sum(map(len, files(self.path).values()))


def content(number: int) -> list[bytes]:
    """Sixteen pages that only snapshot `number` has."""
    return [bytes([number, page]) * (PAGE_BYTES // 2) for page in range(16)]


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def start(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    """The process that writes."""
    argv = [sys.executable, "-m", "machine.recording.snapshots", str(tmp_path), RECORDING, *options]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def job(tmp_path: Path, number: int, *, icount: int) -> str:
    """A job whose snapshot has content(icount)."""
    staging = tmp_path / f"staging{icount}"
    staging.write_bytes(b"".join(content(icount)) + ZERO_PAGE * (PAGES - 16))
    state = base64.b64encode(encode(snapshot(number, icount=icount, memory_pages=PAGES))).decode()
    row = {"snapshot": state, "staging": str(staging), "granule": 8 * PAGE_BYTES, "granules": [0, 1], "base": None}
    return json.dumps(row) + "\n"


@pytest.mark.parametrize("budget", [None, 12_000])
def test_a_reader_and_a_writing_process_do_not_harm_each_other(tmp_path: Path, budget: int | None) -> None:
    """Every snapshot has the number as its memory's content; the process adds, thins and deletes while we read."""
    lines = []
    for number in range(1, 61):
        lines.append(job(tmp_path, number, icount=number))
        if number % 3 == 0:
            lines.append(json.dumps({"delete": number - 1}) + "\n")
    child = start(tmp_path, *([] if budget is None else ["--budget", str(budget)]))
    assert child.stdin is not None
    child.stdin.write("".join(lines))
    child.stdin.close()
    store = SnapshotStore(tmp_path, RECORDING)
    reads = 0
    ended = False
    while not ended:
        # Once more behind its end: then there is something to read, however slowly we have come along.
        ended = child.poll() is not None
        heads = store.list()
        assert store.damage == ()
        for head in heads[-4:]:
            try:
                found = loaded(store, head.number, PAGES)
            except MissingSnapshot:
                continue
            assert list(found.values()) == content(head.number)
            reads += 1
    assert child.stdout is not None
    answers = [json.loads(line) for line in child.stdout]
    child.stdout.close()
    assert len(answers) == len(lines)
    assert reads


def test_two_processes_that_write_at_once_wait_for_each_other(tmp_path: Path) -> None:
    children = [start(tmp_path), start(tmp_path)]
    for first, child in enumerate(children):
        assert child.stdin is not None
        child.stdin.write("".join(job(tmp_path, 0, icount=icount) for icount in range(1 + first, 61, 2)))
        child.stdin.flush()
    for child in children:
        answers, _ = child.communicate()
        assert all("error" not in json.loads(line) for line in answers.splitlines()), answers
    store = SnapshotStore(tmp_path, RECORDING)
    heads = store.list()
    assert store.damage == ()
    assert sorted(head.number for head in heads) == list(range(1, 61))
    for head in heads:
        assert list(loaded(store, head.number, PAGES).values()) == content(head.icount)
