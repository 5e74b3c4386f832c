"""Commands that hold, end and describe the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from machine.message import RunMode
from replay_broker.monitor.answer import Answer, CommandError
from replay_broker.monitor.arguments import Argument
from replay_broker.monitor.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replay_broker.monitor.machine import Machine

VERSION: Final = (0, 1, 0)
"""dejavm's own, where QEMU tells its own: whoever asks must not take this for a QEMU."""
PACKAGE: Final = "dejavm"
REPLAY_MODES: Final = {
    RunMode.NONE: "none",
    RunMode.RECORD: "record",
    RunMode.REPLAY_LOG: "play",
    RunMode.REPLAY_LIVE: "play",
}
"""QMP's ReplayMode."""


def version() -> dict[str, object]:
    """QMP's VersionInfo."""
    major, minor, micro = VERSION
    return {"qemu": {"major": major, "minor": minor, "micro": micro}, "package": PACKAGE}


def _stop(machine: Machine, _: Mapping[str, Any]) -> Answer:
    return machine.pause().mapped(lambda _: {})


def _cont(machine: Machine, _: Mapping[str, Any]) -> None:
    machine.resume()
    machine.notice()


def _quit(machine: Machine, _: Mapping[str, Any]) -> None:
    machine.quit()


def _reset(machine: Machine, _: Mapping[str, Any]) -> None:
    machine.reset()


def _status(machine: Machine, _: Mapping[str, Any]) -> dict[str, object]:
    state = machine.state()
    return {"running": state == "running", "status": state}


def _replay(machine: Machine, _: Mapping[str, Any]) -> dict[str, object]:
    info: dict[str, object] = {"mode": REPLAY_MODES[machine.host.mode], "icount": machine.icount}
    if machine.recording:
        info["filename"] = machine.recording
    travel = machine.host.travel
    if travel is not None:
        info["breakpoints"] = list(travel.breaks)
        if travel.goal is not None and travel.goal >= 0:
            info["goal"] = travel.goal
    return info


def _commands(machine: Machine, _: Mapping[str, Any]) -> list[dict[str, object]]:
    return [{"name": name} for name in machine.commands]


CONTROL: Final[Mapping[str, Command]] = {
    "stop": Command(_stop, needs_run=True),
    "cont": Command(_cont, needs_run=True),
    "quit": Command(_quit),
    "system_reset": Command(_reset, needs_run=True, guest_visible=True),
    "query-status": Command(_status),
    "query-replay": Command(_replay),
    "query-version": Command(lambda _machine, _: version()),
    "query-commands": Command(_commands),
    "query-name": Command(lambda machine, _: {"name": machine.board.name}),
    "query-target": Command(lambda machine, _: {"arch": machine.board.cpu}),
    "query-kvm": Command(lambda _machine, _: {"enabled": False, "present": False}),
    # Negotiation itself is the client's (qmp.py); in the table it is known, and done.
    "qmp_capabilities": Command(lambda _machine, _: _negotiated(), {"enable": Argument("array", optional=True)}),
}


def _negotiated() -> None:
    raise CommandError("Capabilities negotiation is already complete, command ignored", "CommandNotFound")
