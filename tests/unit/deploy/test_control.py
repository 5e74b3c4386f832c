"""The line to a broker on another host, which may break, or whose broker may leave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pytest

from deploy.control import Control, Remote
from deploy.plan import Places
from deploy.supervision import daemon, ending, starting
from deploy.supervision import report as report_module
from deploy.supervision.place import ServicePlaces
from deploy.supervision.report import Facts, report, write_facts
from machine.distant import DistantPort
from machine.errors import ConnectionLost
from machine.icount import BROKER
from machine.message import Quit, RunState, Status
from tests.unit.replay_broker.far_serving import Far, far_broker
from tests.unit.replay_broker.serving import PATIENCE_S, status_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    """A broker with keys."""
    with far_broker(tmp_path) as far:
        yield far


def places_of(far: Far, directory: Path) -> ServicePlaces:
    """A machine of which this host has the CPU."""
    places = ServicePlaces(directory / "runs" / "m")
    places.directory.mkdir(parents=True)
    control = far.control.removeprefix("tcp://")
    write_facts(places, Facts("bare", "record", "", "b", 0, ("cpu",), control, str(directory)))
    return places


def test_what_a_broker_said_before_it_left_is_told_before_that_it_has_left(far: Far, tmp_path: Path) -> None:
    control = Control(Places(tmp_path), Remote(far.control.removeprefix("tcp://"), tmp_path))
    control.ask()
    while control.latest() is None:
        control.wait(PATIENCE_S)
    far.leave()
    port = cast("DistantPort", control._port)
    while not port._trouble:
        port._attend(PATIENCE_S)
    status = control.latest()
    assert status is not None
    assert status.state is RunState.STOPPED
    with pytest.raises(ConnectionLost):
        control.latest()
    control.close(0)


def test_who_asks_for_the_end_of_a_run_that_is_over_is_told_how_it_ended(far: Far, tmp_path: Path) -> None:
    far.operator.send(Quit(), BROKER, 0)
    assert status_from(far.operator).state is RunState.STOPPED
    control = Control(Places(tmp_path), Remote(far.control.removeprefix("tcp://"), tmp_path))
    control.quit()
    while (status := control.latest()) is None:
        control.wait(PATIENCE_S)
    assert status.state is RunState.STOPPED
    control.close(0)


def test_a_machine_whose_broker_leaves_while_its_end_is_waited_for_has_ended(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(far, tmp_path)
    renew, renewed, said = Control.renew, [], list[str]()

    def note(control: Control) -> None:
        renewed.append(control)
        renew(control)

    def read_end(_places: ServicePlaces) -> dict[str, str] | None:
        """The listener of this host writes its last word when the broker has gone."""
        return {"state": "STOPPED", "detail": "ended before it began"} if renewed else None

    def leave_behind(_control: Control, _timeout_s: float) -> None:
        far.leave()

    monkeypatch.setattr(Control, "renew", note)
    monkeypatch.setattr(Control, "wait", leave_behind)
    monkeypatch.setattr(ending, "read_end", read_end)
    monkeypatch.setattr(ServicePlaces, "supervisor_pid", lambda _: os.getpid())
    monkeypatch.setattr(daemon, "end", lambda *_: None)
    ended = ending.end_machine(places, 20.0, said.append)
    assert (ended, said) == (ending.Ended("STOPPED", "ended before it began", 0, powered_off=False), [])


def test_a_run_whose_end_nobody_has_written_down_has_ended_as_its_broker_says(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, said = places_of(far, tmp_path), list[str]()
    monkeypatch.setattr(ending, "END_FILE_S", 0.2)
    monkeypatch.setattr(ServicePlaces, "supervisor_pid", lambda _: os.getpid())
    monkeypatch.setattr(daemon, "end", lambda *_: None)
    ended = ending.end_machine(places, 0.0, said.append)
    assert (ended.state, ended.exit_code, said) == ("STOPPED", 0, [])


def test_ps_tells_the_end_of_a_machine_whose_broker_leaves_while_it_is_asked(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(far, tmp_path)
    latest = Control.latest

    def leave_over_it(control: Control) -> Status | None:
        """The answer is lost; the listener of this host has heard it before."""
        while latest(control) is None:
            control.wait(PATIENCE_S)
        far.leave()
        while True:
            control.wait(PATIENCE_S)
            if latest(control) is not None:
                places.end.write_text('{"state": "STOPPED", "detail": "ended before it began"}')

    monkeypatch.setattr(Control, "latest", leave_over_it)
    monkeypatch.setattr(ServicePlaces, "supervisor_pid", lambda _: os.getpid())
    monkeypatch.setattr(report_module, "_programs", lambda _: [])
    found = report(places)
    assert (found.state, found.detail) == ("stopped", "ended before it began")


def test_a_start_that_takes_too_long_says_for_whom_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """The line to a broker whose machine is always starting."""

        def heard(self) -> Status:
            """An answer."""
            return Status(RunState.STARTING, waiting_for="nic0 (3 s)")

        def forget(self) -> None:
            """Ask again."""

        def wait(self, _timeout_s: float) -> None:
            """Not here."""

        def close(self, _linger_ms: int) -> None:
            """Hang up."""

    monkeypatch.setattr(starting, "reach", lambda _: Slow())
    monkeypatch.setattr(ServicePlaces, "supervisor_pid", lambda _: os.getpid())
    looks: list[int] = []
    found = starting._await_run(ServicePlaces(tmp_path), 0.5, lambda: looks.append(1))
    assert found == (1, "its guest did not run within 0 s; it waits for nic0 (3 s)")
    assert looks
