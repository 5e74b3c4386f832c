"""The ring that two processes share: the newest bytes, each once, whoever is faster."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine.errors import MachineError
from machine.ringbuf import CLAIMED, HEADER, MAGIC, RingReader, RingWriter, ring_path
from tests.harness.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

steps = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 40)))

WRITER = """
import sys
from pathlib import Path
from machine.ringbuf import RingWriter
ring = RingWriter(Path(sys.argv[1]), 257)
sys.stdout.write("ready\\n")
sys.stdout.flush()
for number in range(40000):
    ring.write(b"%06d\\n" % number)
sys.stdin.read()
"""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(1, 30))
def test_a_reader_gets_the_oldest_that_is_left(tmp_path: Path, steps: list[bytes | int], capacity: int) -> None:
    writer = RingWriter(tmp_path / "ring", capacity)
    reader = RingReader(tmp_path / "ring")
    left = b""
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
            left = (left + step)[-capacity:]
        else:
            assert reader.read(step) == left[:step]
            left = left[step:]
    reader.close()
    again = RingReader(tmp_path / "ring")
    assert again.read(100) == left
    again.close()
    writer.close()


def test_what_the_writer_has_claimed_is_not_believed(tmp_path: Path) -> None:
    writer = RingWriter(tmp_path / "ring", 8)
    reader = RingReader(tmp_path / "ring")
    writer.write(b"01234567")
    writer._fields[CLAIMED] = 8 + 3
    assert reader.read(8) == b"34567"
    writer.close()
    reader.close()


def test_a_reader_beside_a_fast_writer_sees_whole_numbers_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    command = [sys.executable, "-P", "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        reader = RingReader(path)
        seen, last = [], b""
        while not last.endswith(b"039999\n"):
            assert process.poll() is None
            data = reader.read(1000)
            last = (last + data)[-7:]
            numbers = data.split(b"\n")
            # What is between two newlines is whole unless bytes were lost in front of it.
            seen += [int(number) for number in numbers[1:-1] if len(number) == 6]
        reader.close()
        process.communicate("")
    assert len(seen) > 30
    assert seen == sorted(set(seen))


def test_a_new_ring_takes_an_old_ones_place_and_stays_when_that_one_goes(tmp_path: Path) -> None:
    path = ring_path(tmp_path, "serial0")
    old, new = RingWriter(path, 10), RingWriter(path, 20)
    old.close()
    new.write(b"here")
    reader = RingReader(path)
    assert reader.read(9) == b"here"
    reader.close()
    new.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ring_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    with pytest.raises(MachineError, match="ring: there is no ring buffer"):
        RingReader(path)
    for content in (b"", b"x" * 10, b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(MachineError, match="no ring buffer"):
            RingReader(path)
    path.unlink()
    path.write_bytes(HEADER.pack(MAGIC, 1 << 40, 0, 0, 0) + bytes(100))
    with pytest.raises(MachineError, match="this is no ring buffer"):
        RingReader(path)
