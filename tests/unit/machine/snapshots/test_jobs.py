"""The process that writes snapshots beside a running machine."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from machine.recording.snapshots.jobs import Jobs
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.vmstate import encode
from tests.unit.machine.snapshots.scenes import MEMORY_PAGES, RECORDING, Memory, files, loaded, plain, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANULE = 65536
PROGRAM = (sys.executable, "-m", "machine.recording.snapshots")


def stage(path: Path, memory: Memory) -> list[int]:
    """A sparse file as large as memory with some pages in it; the granules that they are in."""
    with path.open("wb") as file:
        file.truncate(MEMORY_PAGES * PAGE_BYTES)
        for page, data in memory.items():
            os.pwrite(file.fileno(), data, page * PAGE_BYTES)
    return sorted({page * PAGE_BYTES // GRANULE for page in memory})


def job(number: int, staging: Path | str, granules: list[int], base: int | None, **more: object) -> dict[str, object]:
    """A job as the machine writes it."""
    state = base64.b64encode(encode(snapshot(number))).decode()
    row = {"snapshot": state, "staging": str(staging), "granule": GRANULE, "granules": granules, "base": base}
    return row | more


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*PROGRAM, str(tmp_path), RECORDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    yield child
    child.kill()
    child.communicate()


def ask(child: subprocess.Popen[str], request: dict[str, object]) -> dict[str, object]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request) + "\n")
    answer = json.loads(child.stdout.readline())
    assert isinstance(answer, dict)
    return answer


def test_it_writes_what_is_staged_and_what_changes_then(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    store, staging = SnapshotStore(tmp_path, RECORDING), tmp_path / "staging"
    first = plain(1, 300, first=5)
    told = ask(process, job(1, staging, stage(staging, first), None))
    assert told == {"number": 1, "bytes": store.list()[0].bytes, "pages": 300, "dropped": []}
    # All of a granule counts: what is not in it any more has become zero.
    changes = {5: plain(2, 1)[0], 900: plain(3, 1)[0]}
    assert ask(process, job(2, staging, stage(staging, changes), 1))["pages"] == 300 - 11 + 2
    second = {page: data for page, data in first.items() if page >= 16} | changes
    assert loaded(store, 1) == first
    assert loaded(store, 2) == second
    assert ask(process, {"delete": 1}) == {"number": 1, "deleted": True}
    assert loaded(store, 2) == second
    open_files = [os.readlink(path) for path in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert str(staging) not in open_files
    assert not staging.stat().st_size, "who has read the copy gives it back"


def test_one_that_is_deleted_may_still_be_built_on_by_the_next(tmp_path: Path) -> None:
    first, changes, last = plain(1, 200), plain(2, 16, first=32), plain(3, 16, first=480)
    memories = (first, changes, last, last)
    staged = [tmp_path / f"staging{n}" for n in range(4)]
    granules = [stage(path, memory) for path, memory in zip(staged, memories, strict=True)]
    jobs: list[dict[str, object]] = [
        job(1, staged[0], granules[0], None),
        {"delete": 1},
        job(2, staged[1], granules[1], 1),
        {"delete": 2},
        job(3, staged[2], granules[2], 2),
        {"delete": 3},
        job(4, staged[3], granules[3], 3),
    ]
    text = "".join(json.dumps(line) + "\n" for line in jobs)
    done = subprocess.run([*PROGRAM, str(tmp_path), RECORDING], input=text, capture_output=True, text=True, check=True)
    assert "error" not in done.stdout
    assert loaded(SnapshotStore(tmp_path, RECORDING), 4) == {**first, **changes, **last}
    text += json.dumps({"delete": 4}) + "\n"
    for path in (tmp_path / "snapshots").iterdir():
        path.unlink()
    for path, memory in zip(staged, memories, strict=True):
        stage(path, memory)
    subprocess.run([*PROGRAM, str(tmp_path), RECORDING], input=text, capture_output=True, text=True, check=True)
    assert files(tmp_path) == {}, "in the end nothing is held"


def test_jobs_wait_in_the_pipe_and_it_ends_with_them(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    granules = stage(staging, plain(1, 200))
    lines = [job(n, staging, granules, n - 1 or None) for n in range(1, 6)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([*PROGRAM, str(tmp_path), RECORDING], input=text, capture_output=True, text=True, check=True)
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [1, 2, 3, 4, 5]
    assert done.stderr == ""


def test_it_thins_to_its_budget_and_spares_the_new_one(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    rows = []
    for number in range(1, 5):
        path = staging.with_name(f"staging{number}")
        rows.append(job(number, path, stage(path, plain(number, 64)), None))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    command = [*PROGRAM, str(tmp_path), RECORDING, "--budget", "1000"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert [json.loads(line)["dropped"] for line in done.stdout.splitlines()] == [[], [1], [2], [3]]
    assert {name[:8] for name in files(tmp_path)} == {"00000004"}


def test_the_staging_may_be_an_open_file_of_another_process(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    memory = plain(4, 40)
    fd = os.memfd_create("staging")
    try:
        os.ftruncate(fd, MEMORY_PAGES * PAGE_BYTES)
        for page, data in memory.items():
            os.pwrite(fd, data, page * PAGE_BYTES)
        assert ask(process, job(1, f"/proc/{os.getpid()}/fd/{fd}", [0, 1, 2], None))["pages"] == 40
    finally:
        os.close(fd)
    assert loaded(SnapshotStore(tmp_path, RECORDING), 1) == memory


def test_an_interrupt_from_the_terminal_takes_no_job_away(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    staging = tmp_path / "staging"
    for number in (1, 2):
        assert ask(process, job(number, staging, stage(staging, plain(1, 20)), None))["pages"] == 20
        process.send_signal(signal.SIGINT)
    assert ask(process, {"delete": 2})["deleted"] is True


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*PROGRAM, str(tmp_path), RECORDING]!r}, stdin=subprocess.PIPE, "
        "stdout=subprocess.PIPE)\n"
        "child.stdin.write(b'{\"delete\": 1}\\n'); child.stdin.flush(); child.stdout.readline()\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    try:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        # A pidfd can be read from when its process has ended.
        assert select.select([child], [], [], 60)[0]
    finally:
        os.close(child)


def refused(tmp_path: Path, line: bytes) -> str:
    answer = json.loads(Jobs(SnapshotWriter(tmp_path, RECORDING)).do(line))
    assert set(answer) == {"number", "error"}
    assert "\n" not in answer["error"]
    return str(answer["error"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"snapshot": "!"}, "snapshot: not base64"),
        ({"snapshot": ""}, "saved state ends at byte 0"),
        ({"snapshot": 5}, "snapshot: missing or not a string"),
        ({"staging": "/nowhere/at/all"}, "cannot read the staged pages: No such file or directory"),
        ({"staging": None}, "staging: missing or not a string"),
        ({"granule": 100}, "a granule of 100 bytes is not whole pages"),
        ({"granule": 0}, "a granule of 0 bytes is not whole pages"),
        ({"granules": "x"}, "granules: missing or not a list of numbers"),
        ({"granules": [True]}, "granules: missing or not a list of numbers"),
        ({"granules": [64]}, "granules 64 to 64 are not all in a memory of 4194304 bytes"),
        ({"granules": [-1]}, "granules -1 to -1 are not all in a memory"),
        ({"base": "one"}, "base: missing or not a number"),
        ({"base": 7}, "there is no whole snapshot 7 to build on"),
    ],
)
def test_a_job_that_cannot_be_done_is_answered_and_leaves_nothing(
    tmp_path: Path, change: dict[str, object], error: str
) -> None:
    staging = tmp_path / "staging"
    granules = stage(staging, plain(1, 20))
    text = refused(tmp_path, json.dumps(job(1, staging, granules, None) | change).encode())
    assert error in text
    assert not (tmp_path / "snapshots").exists() or files(tmp_path) == {}


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b"\xff", b'{"delete": "x"}', b'{"delete": 4}'])
def test_a_line_that_is_no_job_is_answered_too(tmp_path: Path, line: bytes) -> None:
    assert refused(tmp_path, line)
