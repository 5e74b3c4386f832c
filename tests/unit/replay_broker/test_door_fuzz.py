"""Whatever a stranger says at the broker's door, the machine runs on and little is said back."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from machine import message as m
from machine.codec import MESSAGES, encode, encode_header
from machine.frame import Frame
from tests.fuzz.door_stage import NAMES, DoorStage
from tests.harness.machine import ROOT
from tests.unit.machine.test_codec import any_message

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 20_000
TIMEOUT_S = 100

headers = st.builds(
    Frame,
    type=st.sampled_from(list(MESSAGES)) | st.integers(0, 2**31 - 1),
    source=st.integers(0, 5),
    target=st.integers(0, 5),
    icount=st.integers(0, 2**64 - 1),
    payload=st.just(b""),
    seq=st.integers(0, 2**64 - 1),
).map(encode_header)
part = st.binary(max_size=40) | headers | any_message.map(encode)
identities = st.sampled_from([b"a", b"b"])


@given(said=st.lists(st.tuples(identities, st.lists(part, max_size=6)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_running_machine_minds_no_stranger(said: list[tuple[bytes, list[bytes]]]) -> None:
    with closing(DoorStage()) as stage:
        for identity, parts in said:
            stage.knock(identity, parts)
        assert stage.unharmed()
        assert all(stage.sockets.told.get(identity, 0) <= 1 for identity in (b"a", b"b"))
        assert stage.server.refused >= len(said)


@given(said=st.lists(st.lists(part, max_size=6), max_size=12))
@settings(max_examples=100, deadline=None)
def test_no_request_to_the_control_breaks_the_broker(said: list[list[bytes]]) -> None:
    with closing(DoorStage()) as stage:
        for parts in said:
            stage.ask(b"client", parts)
        status = stage.server.status(nodes=True)
        assert [node.name for node in status.nodes] == ["broker", *NAMES]


def test_a_name_that_is_taken_is_refused_once_and_counted_each_time() -> None:
    with closing(DoorStage()) as stage:
        for _ in range(500):
            stage.say(b"stranger", m.Hello(m.WIRE_VERSION, "serial0", 4711))
        assert stage.server.refused == 500
        assert stage.sockets.told[b"stranger"] == 1
        assert stage.unharmed()


def test_atheris_finds_nothing_that_harms_the_machine(tmp_path: Path) -> None:
    # Its own limit on memory takes the peak of the process that started it for one of its own: getrusage(2), execve(2).
    options = (f"-runs={RUNS}", "-seed=1", "-max_len=512", f"-artifact_prefix={tmp_path}/", "-rss_limit_mb=0")
    command = [sys.executable, "-P", "-m", "tests.fuzz.door", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS}" in done.stderr
