"""What is known of a machine that is up, from the broker while it lives, from its last word behind that.

Lives here: asking; the rows and objects of `dejavm ps`.  Never here: printing.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from deploy.control import Control, Remote
from deploy.outcome import TERMINAL_STATES, judge_power_off
from deploy.plan import MODE_NAMES
from deploy.supervision.configuration import LISTENER
from deploy.supervision.daemon import Supervisor
from deploy.supervision.place import DESERTED
from machine.errors import EXIT_FAILED
from machine.message import NodeState, NodeStatus, PowerOffReason, RunState, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deploy.supervision.daemon import Program
    from deploy.supervision.place import ServicePlaces

ANSWER_S: Final = 2.0
"""How long a broker may take to answer, and a supervisor."""
POLL_S: Final = 0.01
NODE_STATES: Final = {
    NodeState.MISSING: "missing",
    NodeState.STARTING: "starting",
    NodeState.READY: "ready",
    NodeState.AWAITED: "awaited",
}
DEBUGGED: Final = "debug"
COLUMNS: Final = ("NODE", "STATE", "HOST", "PID", "ICOUNT", "MIPS", "MSG/S", "QUEUE", "BACKEND", "METRICS")


@dataclass(frozen=True, slots=True)
class Facts:
    """What `up` was asked for."""

    board: str
    mode: str
    recording: str
    host: str
    started_ns: int
    nodes: tuple[str, ...]
    control: str = ""
    """Where the broker's control socket is, HOST:PORT, if it is on another host; with `keys`."""
    keys: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A machine as it is: `status` from its broker, `end` once it has ended."""

    name: str
    facts: Facts
    status: Status | None
    end: Mapping[str, Any] | None
    programs: tuple[Program, ...]
    returning: str = ""
    """Why it has no broker, and that it will have one."""
    left: bool = False
    """Its supervisor has gone, and was not told to."""
    unborn: bool = False
    """It has not been there yet."""

    @property
    def state(self) -> str:
        """In one word."""
        if self.status is not None:
            return self.status.held or self.status.state.name.lower()
        if self.end is not None:
            return str(self.end["state"]).lower()
        return "returning" if self.returning else "silent"

    @property
    def mode(self) -> str:
        """What is done with the log: the broker knows, another host was not asked for it."""
        return self.facts.mode if self.status is None else MODE_NAMES[self.status.mode]

    @property
    def detail(self) -> str:
        """Why it is so, where there is more to say."""
        if self.left and (self.status is None or self.status.state not in TERMINAL_STATES):
            return DESERTED.format(self.name)
        if self.unborn and self.status is None and self.end is None:
            return f"just starting, or ending; if that lasts, clear it away with: dejavm down {self.name}"
        if self.status is not None:
            return self.status.detail
        return self.returning if self.end is None else verdict_on(self.end)[1]


def verdict_on(end: Mapping[str, Any]) -> tuple[int, str]:
    """The exit code that a machine's last word comes to, and what there is to say."""
    detail = str(end.get("detail", ""))
    if end.get("state") in (RunState.FAILED.name, RunState.DIVERGED.name):
        return EXIT_FAILED, detail
    code, lines = judge_power_off(PowerOffReason(end.get("power_off_reason", PowerOffReason.OUTSIDE)))
    return code, detail or " ".join(lines)


def write_facts(places: ServicePlaces, facts: Facts) -> None:
    """Keep what `up` was asked for."""
    places.facts.write_text(json.dumps(asdict(facts)))


def read_facts(places: ServicePlaces) -> Facts:
    """What `up` was asked for; empty where it did not come so far."""
    try:
        values = json.loads(places.facts.read_text())
        return Facts(**{**values, "nodes": tuple(values["nodes"])})
    except (OSError, ValueError, KeyError, TypeError):
        return Facts("", "", "", "", 0, ())


def read_end(places: ServicePlaces) -> dict[str, Any] | None:
    """The machine's last word, once it has ended."""
    try:
        end: object = json.loads(places.end.read_text())
    except (OSError, ValueError):
        return None
    return end if isinstance(end, dict) else None


def reach(places: ServicePlaces) -> Control:
    """A line to the machine's broker, wherever it is.  BackendError if a key cannot be read."""
    facts = read_facts(places)
    return Control(places, Remote(facts.control, Path(facts.keys)) if facts.control else None)


def ask(places: ServicePlaces, timeout_s: float = ANSWER_S) -> Status | None:
    """The broker's own word; None if it gives none in time."""
    control = reach(places)
    try:
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0 and control.listening and read_end(places) is None:
            # A broker that leaves does so behind the run's end, which the listener of this host writes down.
            if (status := control.heard(nodes=True)) is not None:
                return status
            control.wait(min(left, POLL_S))
    finally:
        control.close(0)
    return None


def report(places: ServicePlaces) -> Report:
    """Everything that is known of a machine."""
    end = read_end(places)
    status = None if end is not None or places.read_returning() else ask(places)
    # Read behind the answer: the broker may have died over the question.
    returning = places.read_returning() if status is None else ""
    alone = places.supervisor_pid() is None
    programs = [] if alone else _programs(places)
    left = alone and places.is_deserted()
    own = tuple(program for program in programs if program.name != LISTENER)
    return Report(
        places.name, read_facts(places), status, read_end(places), own, returning, left, unborn=alone and not left
    )


def _programs(places: ServicePlaces) -> list[Program]:
    with Supervisor.of(places, ANSWER_S) as supervisor:
        return supervisor.programs()


def lines(found: Report) -> list[str]:
    """A machine as text: one line of its own, one line a process."""
    nodes = [_row(found, node) for node in _nodes(found)]
    if not nodes:
        return [_headline(found)]
    table = [COLUMNS, *nodes]
    widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
    rows = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return [_headline(found), *(row.rstrip() for row in rows)]


def plain(found: Report) -> dict[str, Any]:
    """A machine as `ps --json` has it."""
    status, end = found.status, found.end or {}
    return {
        "name": found.name,
        **{key: value for key, value in asdict(found.facts).items() if key not in ("nodes", "control", "keys")},
        "mode": found.mode,
        "state": found.state,
        "icount": status.icount if status else end.get("icount", 0),
        "mips": status.icount_per_s / 1e6 if status else 0.0,
        "messages": status.messages if status else end.get("messages", 0),
        "messages_per_s": status.messages_per_s if status else 0,
        "refused": status.refused if status else 0,
        "remote_bytes": status.remote_bytes if status else 0,
        "waiting_for": status.waiting_for if status else "",
        "detail": found.detail,
        "nodes": [_plain_node(node) for node in _nodes(found)],
    }


def _plain_node(node: NodeStatus) -> dict[str, Any]:
    return {**msgspec.structs.asdict(node), "state": NODE_STATES[node.state]}


def _nodes(found: Report) -> Sequence[NodeStatus]:
    """From the broker; where it says nothing, what supervisor says of this host's processes."""
    if found.status is not None:
        return found.status.nodes
    return [
        NodeStatus(p.name, NodeState.READY if p.pid else NodeState.MISSING, found.facts.host, p.pid)
        for p in found.programs
    ]


def _headline(found: Report) -> str:
    status = found.status
    debugged, waiting_for = found.state == DEBUGGED, status.waiting_for if status is not None else ""
    state = "held by a debugger" if debugged else found.state
    words = [f"{found.name}:", f"{state}," if debugged or waiting_for else state]
    if waiting_for:
        words.append(f"waiting for {waiting_for},")
    if status is not None and status.state not in TERMINAL_STATES:
        words.append(f"board {found.facts.board}, {found.mode}, {status.messages:,} messages")
        if status.refused:
            words.append(f"({status.refused:,} refused)")
    elif found.end is not None:
        words.append(f"board {found.facts.board}, {found.mode}, after {found.end.get('icount', 0):,} instructions")
    if found.detail:
        words.append(f"({found.detail})")
    if found.facts.recording:
        words.append(f"into {found.facts.recording}")
    return " ".join(words)


def _row(found: Report, node: NodeStatus) -> tuple[str, ...]:
    status = found.status
    runs = status is not None and status.state is RunState.RUNNING
    state = NODE_STATES[node.state]
    if status is None:
        program = next((p for p in found.programs if p.name == node.name), None)
        state = program.state.lower() if program is not None else "missing"
    icount = mips = ""
    if status is not None and node.name == "cpu":
        icount, mips = f"{status.icount:,}", f"{status.icount_per_s / 1e6:.1f}" if runs else ""
    return (
        node.name,
        state,
        node.host,
        str(node.pid or ""),
        icount,
        mips,
        str((status.messages_per_s if node.name == "broker" else node.messages_per_s) if status and runs else ""),
        str(node.waiting if status is not None else ""),
        node.backend,
        node.metrics,
    )
