"""supervisor's own configuration started again in the directory of an earlier run, as a systemd unit does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.supervision.place import ServicePlaces
from deploy.supervision.report import ask
from machine.message import RunState
from machine.recording.layout import LOG_NAME
from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.killing import await_another, await_said
from tests.harness.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system


def written_by_up(home: Home) -> tuple[ServicePlaces, Path]:
    """A directory with what `up` has written, as docs/service.md has one made; and where it records."""
    first = Service(home, "m")
    recording = first.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    assert recording is not None
    places = ServicePlaces(home.work / "again")
    places.logs.mkdir(parents=True)
    for name in (places.configuration.name, places.machine.name):
        shutil.copy(first.directory / name, places.directory / name)
    first.down()
    shutil.rmtree(recording)
    return places, recording


def start(home: Home, places: ServicePlaces) -> Running:
    """The machine, by supervisor."""
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "--nodaemon", "--configuration"]
    return home.start_argv([*command, str(places.configuration)])


def await_running(places: ServicePlaces, started: Running) -> None:
    """Until the guest runs."""
    while (status := ask(places)) is None or status.state is not RunState.RUNNING:
        assert started.process.poll() is None


def test_a_recording_that_has_ended_is_left_alone_by_the_next_run_though_its_broker_was_killed(home: Home) -> None:
    places, recording = written_by_up(home)
    started = start(home, places)
    home.await_path(places.pid_file)
    await_running(places, started)
    await_said(recording, b"READY")
    status = ask(places)
    assert status is not None
    (broker,) = (node.pid for node in status.nodes if node.name == "broker")
    os.kill(broker, signal.SIGKILL)
    await_another(recording)
    await_running(places, started)
    started.signal(signal.SIGTERM)
    started.finish()
    assert Recording.open(recording).clean_end
    before = (recording / LOG_NAME).read_bytes()
    places.end.unlink()

    again = start(home, places)
    home.await_path(places.end)
    again.signal(signal.SIGTERM)
    again.finish()
    end = json.loads(places.end.read_text())
    assert (end["state"], "exists already; give the recording another name" in end["detail"]) == ("FAILED", True), end
    assert (recording / LOG_NAME).read_bytes() == before
    home.verify_both_ways(recording)
