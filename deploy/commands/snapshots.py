"""`dejavm snapshots`: the snapshots of a recording; some of them deleted, more of them made."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

from deploy.laying import LAY_EVERY, MOST, make_snapshots, usual_distance
from deploy.library import open_recording
from deploy.reading.moments import virtual_times
from deploy.reading_options import add_json, add_recording
from deploy.reporting import complain, put
from machine.errors import EXIT_DONE, EXIT_UNREADABLE, UsageError
from machine.recording.snapshots.snapshot import date_text
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from machine.recording.reader import Recording
    from machine.recording.snapshots.store import Head


USUAL: Final = math.inf
"""For --make without a number, and none that anybody can write."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_json(parser, "print them as one JSON object")
    parser.add_argument(
        "--delete", metavar="N|LABEL", action="append", default=[], help="delete this one first; may be given again"
    )

    parser.add_argument(
        "--make", metavar="N", type=int, nargs="?", const=USUAL,
        help=f"run it again and keep the state every N instructions (default: {LAY_EVERY:,}; at most {MOST:,} times)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """List what is whole and tell what is not, which is exit code 4; UsageError for one that is not there."""
    recording = open_recording(options.recording)
    store = SnapshotStore(recording.path, recording.facts.id)
    writer = SnapshotWriter(recording.path, recording.facts.id)
    doomed = [_number(store, word) for word in options.delete]
    if recording.facts.snapshot in doomed:
        raise UsageError(
            f"{recording.path}: snapshot {recording.facts.snapshot} is what it begins with; it cannot be deleted"
        )
    for number in doomed:
        writer.delete(number)
    if options.make is not None:
        usual = options.make == USUAL
        make_snapshots(
            recording, usual_distance(recording.end_icount - recording.begin_icount) if usual else options.make
        )
    heads = store.list()
    times = virtual_times(recording, heads)
    put(json.dumps(_facts(heads, times, store)) if options.json else _table(recording, heads, times))
    damage = [*store.damage]
    # They are made up to where it is damaged.
    if options.make is not None and (text := recording.summary().damage):
        damage.append(text)
    for text in damage:
        complain(text)
    return EXIT_UNREADABLE if damage else EXIT_DONE


def _number(store: SnapshotStore, word: str) -> int:
    """The snapshot of a number, damaged or not, or of a label."""
    if word.isdecimal() and store.holds(int(word)):
        return int(word)
    head = store.named(word)
    if head is None:
        raise UsageError(f"--delete {word}: there is no snapshot of this number or label")
    return head.number


def _facts(heads: Sequence[Head], times: dict[int, int], store: SnapshotStore) -> dict[str, object]:
    """The JSON object (docs/commands.md, snapshots)."""
    rows = [
        {
            "number": head.number,
            "icount": head.icount,
            "virtual_ns": times.get(head.number),
            "seq": head.seq,
            "nodes": list(head.nodes),
            "pages": head.pages,
            "bytes": head.bytes,
            "label": head.label,
            "made_ns": head.made_ns or None,
        }
        for head in heads
    ]
    return {"snapshots": rows, "bytes": sum(head.bytes for head in heads), "damage": list(store.damage)}


def _table(recording: Recording, heads: Sequence[Head], times: dict[int, int]) -> str:
    """The same for people."""
    if not heads:
        return f"{recording.path}: no snapshots"
    lines = [
        f"{'number':>6}{'icount':>18}{'virtual time':>18}{'seq':>12}{'bytes':>14}  {'made':<19}  {'label':<16}  nodes"
    ]
    for head in heads:
        time = f"{times[head.number] / 1e9:.6f} s" if head.number in times else "-"
        lines.append(
            f"{head.number:>6}{head.icount:>18,}{time:>18}{head.seq:>12,}{head.bytes:>14,}  "
            f"{date_text(head.made_ns) or '-':<19}  {head.label:<16}  {' '.join(head.nodes)}"
        )
    return "\n".join(lines)
