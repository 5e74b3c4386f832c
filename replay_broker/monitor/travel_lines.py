"""The line mode's words for places of a replay and for snapshots, QEMU's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.recording.snapshots.snapshot import clock_text, date_text
from replay_broker.monitor import travel
from replay_broker.monitor.line import NEWLINE, Line, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from replay_broker.monitor.answer import Answer
    from replay_broker.monitor.machine import Machine


def _at(name: str) -> Callable[[Machine, Sequence[str]], Answer]:
    """A line that does a QMP command with an instruction count."""
    return lambda machine, words: machine.execute(name, {"icount": number(words[0])}).mapped(lambda _: "")


def _delete_break(machine: Machine, words: Sequence[str]) -> Answer:
    given = {"icount": number(words[0])} if words else {}
    return machine.execute("replay-delete-break", given).mapped(lambda _: "")


def _tagged(name: str) -> Callable[[Machine, Sequence[str]], Answer]:
    """A line that does a QMP command with a tag."""
    return lambda machine, words: machine.execute(name, {"tag": words[0]}).mapped(lambda _: "")


def _snapshots(machine: Machine, _: Sequence[str]) -> str:
    heads = travel.heads(machine)
    if not heads:
        return f"There is no snapshot available.{NEWLINE}"
    rows = [f"{'ID':<6}{'TAG':<24}{'VM SIZE':>12}  {'DATE':<19}{'VM CLOCK':>20}{'ICOUNT':>20}  NODES{NEWLINE}"]
    for head in heads:
        date = date_text(head.made_ns) or "--"
        clock = clock_text(head.at_ns) if head.at_ns or not head.at else "--"
        row = f"{head.number:<6}{head.label or '--':<24}{head.bytes:>12,}  {date:<19}{clock:>20}{head.at:>20,}  "
        rows.append(f"{row}{' '.join(head.nodes)}{NEWLINE}")
    return "".join(rows)


TRAVEL_LINES: Final[Mapping[str, Line]] = {
    "replay_break": Line(
        "replay_break icount", "stand still whenever the replay comes to this instruction", _at("replay-break"), (1, 1)
    ),
    "replay_delete_break": Line("replay_delete_break [icount]", "forget that one, or all", _delete_break, (0, 1)),
    "replay_seek": Line(
        "replay_seek icount", "go to an instruction of the replay, forward or back", _at("replay-seek"), (1, 1)
    ),
    "savevm": Line(
        "savevm tag", "keep the machine's state in the recording under a name", _tagged("snapshot-save"), (1, 1)
    ),
    "loadvm": Line("loadvm tag", "go to where a name leads", _tagged("snapshot-load"), (1, 1)),
    "delvm": Line("delvm tag", "remove a named state", _tagged("snapshot-delete"), (1, 1)),
}
"""Name -> command."""

SNAPSHOTS: Final = Line("info snapshots", "show the recording's snapshots", _snapshots)
