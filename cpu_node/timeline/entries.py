"""Where a recording's history can be entered: at power-on, and at each of its snapshots.

Lives here: starting a process that stands there.  Never here: where it is wanted (history.py).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from cpu_node.timeline.channel import Channel, end_of_process
from cpu_node.timeline.replica import Replica
from cpu_node.timeline.worker import work
from machine.errors import MachineError
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from machine.board import Board
    from machine.recording.reader import Recording

log = logging.getLogger("dejavm")
FIRST_OWN: Final = 3
"""Behind standard input, output and error."""
WORTH: Final = 1 << 26
"""Instructions that take as long to run as a snapshot to load."""


class Entries:
    """Those of one recording.  Each process has memory of its own, which its forks share."""

    def __init__(self, recording: Recording, board: Board) -> None:
        self._recording = recording
        self._board = board
        self._store = SnapshotStore(recording.path, recording.facts.id)

    def first(self) -> Replica:
        """Where the recording begins; MachineError."""
        return self._start(0)

    def between(self, low: int, high: int) -> Replica | None:
        """At the last usable snapshot in front of instruction `high`, if it saves running from `low`."""
        for head in reversed(self._store.list()):
            if head.icount >= high or "cpu" not in head.nodes:
                continue
            if head.icount <= low + WORTH:
                return None
            try:
                return self._start(head.number)
            except MachineError as error:
                log.info("snapshot %d is left out: %s", head.number, error)
        return None

    def _start(self, snapshot: int) -> Replica:
        channel, theirs = Channel.pair()
        if os.fork() == 0:
            try:
                # A channel lives as long as anybody has its end, and so does gdb's connection.
                os.closerange(FIRST_OWN, theirs.fileno())
                os.closerange(theirs.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
                work(self._recording, self._board, theirs, snapshot)
            except Exception:
                log.exception("the timeline has failed")
            finally:
                end_of_process()
        theirs.close()
        return Replica.arriving(channel)
