"""Snapshots on the command line: how often, how much, where to start from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from deploy.reporting import complain
from machine.board import parse_size
from machine.errors import BoardError, SnapshotError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable

    from machine.recording.reader import Recording

_UNITS_NS: Final = {"ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|min)")


def add_snapshot_options(parser: argparse.ArgumentParser) -> None:
    """--snapshot-every, --snapshot-budget."""
    parser.add_argument(
        "--snapshot-every", metavar="TIME", help="while recording: keep the state this often, as 2s, 500ms"
    )
    parser.add_argument("--snapshot-budget", metavar="SIZE", help="what all snapshots of the recording may take, as 2G")


def snapshot_arguments(options: argparse.Namespace) -> tuple[str, ...]:
    """What add_snapshot_options() has parsed, as the broker's arguments; UsageError names what is no time or size."""
    arguments: list[str] = []
    if options.snapshot_every is not None:
        arguments += ["--snapshot-every", str(duration_ns(options.snapshot_every, "--snapshot-every"))]
    if options.snapshot_budget is not None:
        try:
            arguments += ["--snapshot-budget", str(parse_size(options.snapshot_budget))]
        except BoardError as error:
            raise UsageError(f"--snapshot-budget: {error}") from error
    return tuple(arguments)


def duration_ns(text: str, option: str) -> int:
    """A time such as `500ms`, `2s`, `1.5min` in nanoseconds; UsageError names the option it was given to."""
    match = _DURATION.fullmatch(text)
    found = int(float(match[1]) * _UNITS_NS[match[2]]) if match else 0
    if not found:
        raise UsageError(f"{option}: {text!r} is no time; write it as 500ms, 2s or 1min")
    return found


def nearest_snapshot(recording: Recording, icount: int, nodes: Collection[str]) -> int:
    """The number of the last snapshot at or before an instruction that has these nodes' states; 0 for power-on.

    What cannot be used of the others is said.
    """
    # Imported here: a machine's start waits for imports.
    from machine.recording.format import RESUMABLE_FORMAT  # noqa: PLC0415
    from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415

    if recording.facts.format < RESUMABLE_FORMAT:
        return 0
    store = SnapshotStore(recording.path, recording.facts.id)
    head = store.nearest(icount, nodes)
    for damage in store.damage:
        complain(f"a snapshot is left out: {damage}")
    while head is not None and unusable(recording, (head.number,)):
        head = store.nearest(head.icount - 1, nodes)
    return 0 if head is None else head.number


def unusable(recording: Recording, numbers: Iterable[int]) -> set[int]:
    """Those of some snapshots that cannot be loaded; why is said."""
    from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415

    store, found = SnapshotStore(recording.path, recording.facts.id), set()
    for number in numbers:
        try:
            store.check(number)
        except SnapshotError as error:
            complain(f"snapshot {number} is left out: {error}")
            found.add(number)
    return found
