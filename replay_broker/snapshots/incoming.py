"""Starting a replay from a snapshot: what each node is told, and where in the log its messages go on."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from machine.message import Load
from machine.recording.place import START, Point
from machine.recording.reader import Recording
from machine.recording.snapshots.snapshot import point_of
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Incoming:
    """A place to start from: power-on, or snapshot `number`."""

    number: int = 0
    point: Point = START
    icount: int = 0
    loads: Mapping[str, Load] = field(default_factory=dict)
    """By node name; a node that is not there begins as at power-on."""


POWER_ON = Incoming()


def read_incoming(path: Path, number: int) -> Incoming:
    """The snapshot of that number of the recording in a directory; LogError, StateError if it cannot be had."""
    recording = Recording.open(path)
    snapshot = SnapshotStore(path, recording.facts.id).read(number)
    place = _in_text(path.absolute())
    loads = {node.name: Load(node.state, place, number) for node in snapshot.nodes}
    return Incoming(number, point_of(snapshot), snapshot.icount, loads)


def _in_text(path: Path) -> str:
    """A recording's directory as a message can tell it: one whose name is no text by a link beside the sockets."""
    name = os.fsencode(path)
    try:
        return name.decode()
    except UnicodeDecodeError:
        link = Path(os.environ["DEJAVM_RUN_DIRECTORY"]) / f"recording-{hashlib.sha256(name).hexdigest()[:16]}"
        with suppress(FileExistsError):
            link.symlink_to(path)
        return str(link)
