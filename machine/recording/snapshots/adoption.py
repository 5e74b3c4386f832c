"""A snapshot of one recording in the store of another, which is going to be a branch of it.

Lives here: sharing files between the stores of a family.  Never here: running anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from machine.errors import LogError
from machine.recording.carrying import share
from machine.recording.layout import DIRECTORY_MODE, SNAPSHOTS_NAME
from machine.recording.snapshots.files import pack_file, pack_path, read_file, snapshot_path
from machine.recording.snapshots.part import Part

if TYPE_CHECKING:
    from pathlib import Path


def adopt(source: Path, source_id: str, number: int, target: Path, target_id: str) -> None:
    """Give recording `target` snapshot `number` of recording `source`; its pages are shared where the host can.

    Nobody ever writes into a file of pages, so two stores may have the same.  SnapshotError if the snapshot is not to
    be had, LogError if it cannot be kept.
    """
    here, there = source / SNAPSHOTS_NAME, target / SNAPSHOTS_NAME
    file = read_file(here, number, source_id)
    try:
        there.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        for pack, _ in file.packs:
            share(pack_path(here, pack), pack_path(there, pack))
        # No name either: as the other's beginning it could not be taken away again.
        mine = replace(file, snapshot=replace(file.snapshot, recording=target_id, label="", work_ns=0))
        with Part(snapshot_path(there, number)) as part:
            part.write(pack_file(mine))
            part.keep()
    except OSError as error:
        raise LogError(f"{there}: cannot keep the parent's snapshot here: {error.strerror}") from error
