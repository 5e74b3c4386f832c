"""Commands that take a replay to its places, and keep states: breakpoints, seek, snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from machine.errors import UsageError
from machine.message import RunMode
from machine.recording.snapshots.snapshot import NS_PER_S
from replay_broker.monitor.answer import Answer, CommandError
from replay_broker.monitor.arguments import Argument
from replay_broker.monitor.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.recording.snapshots.store import Head
    from replay_broker.monitor.machine import Machine
    from replay_broker.snapshots.process import Written
    from replay_broker.snapshots.taker import Taker
    from replay_broker.travel import Done, Travel

JOB: Final = {
    "job-id": Argument("string", optional=True),
    "vmstate": Argument("string", optional=True),
    "devices": Argument("array", optional=True),
}
"""What QEMU's commands take beside the tag, and what means nothing here: all state is kept."""


def _travel(machine: Machine, name: str) -> Travel:
    travel = machine.host.travel
    _ = machine.session  # CommandError behind the end
    if travel is None:
        raise CommandError(f"{name}: this is no replay that may go to other places")
    return travel


def _taker(machine: Machine, name: str) -> Taker:
    taker = machine.host.taker
    _ = machine.session  # CommandError behind the end
    if taker is None or machine.host.mode is RunMode.NONE:
        raise CommandError(f"{name}: there is no recording to keep a snapshot in")
    return taker


def _done(answer: Answer) -> Done:
    def done(error: str) -> None:
        if error:
            answer.refuse(CommandError(error))
        else:
            answer.give({})

    return done


def _seek(machine: Machine, given: Mapping[str, Any]) -> Answer:
    return go(machine, "replay-seek", given["icount"])


def go(machine: Machine, name: str, icount: int) -> Answer:
    """Stand at exactly an instruction; answered there."""
    answer = Answer()
    try:
        _travel(machine, name).seek(icount, _done(answer))
    except UsageError as error:
        raise CommandError(str(error)) from error
    return answer


def _break(machine: Machine, given: Mapping[str, Any]) -> Answer:
    answer = Answer()
    try:
        _travel(machine, "replay-break").add_break(given["icount"], _done(answer))
    except UsageError as error:
        raise CommandError(str(error)) from error
    return answer


def _delete_break(machine: Machine, given: Mapping[str, Any]) -> None:
    try:
        _travel(machine, "replay-delete-break").delete_break(given.get("icount"))
    except UsageError as error:
        raise CommandError(str(error)) from error


def save(machine: Machine, label: str) -> Answer:
    """Keep the state under a name; answered when it is on the disk, with the snapshot's number."""
    taker, answer = _taker(machine, "snapshot-save"), Answer()
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise CommandError(f"a tag has 1 to {LONGEST_LABEL} printable characters")

    def done(written: Written) -> None:
        if written.error:
            answer.refuse(CommandError(written.error))
        else:
            answer.give({"number": written.number, "bytes": written.size, "pause-ms": written.pause_ns // NS_PER_MS})

    travel = machine.host.travel
    try:
        if travel is None:
            taker.request(label, done)
        else:
            travel.bookmark(label, done)
    except UsageError as error:
        raise CommandError(str(error)) from error
    return answer


def load(machine: Machine, label: str) -> Answer:
    """Go to where a name leads; answered there."""
    if machine.host.mode is RunMode.RECORD:
        raise CommandError("snapshot-load: a recording only goes forward; replay it, or branch from it")
    return go(machine, "snapshot-load", head_named(machine, label).at)


def delete(machine: Machine, label: str) -> Answer:
    """Remove a named snapshot."""
    taker, answer = _taker(machine, "snapshot-delete"), Answer()
    taker.delete(head_named(machine, label).number, _done(answer))
    return answer


def head_named(machine: Machine, label: str) -> Head:
    """The newest snapshot of a name; CommandError if there is none."""
    found = [head for head in heads(machine) if head.label == label]
    if not found:
        raise CommandError(f"there is no snapshot with the tag {label!r}")
    return max(found, key=lambda head: head.number)


def heads(machine: Machine) -> tuple[Head, ...]:
    """The recording's snapshots."""
    return _taker(machine, "snapshot-list").heads()


def _list(machine: Machine, _: Mapping[str, Any]) -> list[dict[str, object]]:
    return [
        {
            "id": str(head.number),
            "name": head.label,
            "icount": head.at,
            "vm-state-size": head.bytes,
            "vm-clock-sec": head.at_ns // NS_PER_S,
            "vm-clock-nsec": head.at_ns % NS_PER_S,
            "date-sec": head.made_ns // NS_PER_S,
            "date-nsec": head.made_ns % NS_PER_S,
            "nodes": list(head.nodes),
        }
        for head in heads(machine)
    ]


LONGEST_LABEL: Final = 128
NS_PER_MS: Final = 10**6
TRAVEL: Final[Mapping[str, Command]] = {
    "replay-seek": Command(_seek, {"icount": Argument("integer")}, needs_run=True),
    "replay-break": Command(_break, {"icount": Argument("integer")}, needs_run=True),
    "replay-delete-break": Command(_delete_break, {"icount": Argument("integer", optional=True)}, needs_run=True),
    "snapshot-save": Command(
        lambda machine, given: save(machine, given["tag"]), {"tag": Argument("string"), **JOB}, needs_run=True
    ),
    "snapshot-load": Command(
        lambda machine, given: load(machine, given["tag"]), {"tag": Argument("string"), **JOB}, needs_run=True
    ),
    "snapshot-delete": Command(
        lambda machine, given: delete(machine, given["tag"]), {"tag": Argument("string"), **JOB}, needs_run=True
    ),
    "snapshot-list": Command(_list, needs_run=True),
}
