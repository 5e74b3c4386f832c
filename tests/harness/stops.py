"""`python -m tests.harness.stops REC REQUEST`: where watchpoints stop along a recording, without gdb in front.

REQUEST is JSON: `watches` and `breaks` as cpu_node/timeline has them, `spacing` and `slowly` of its Pace, `most` stops
forwards from the beginning, `back` a list of instruction counts from each of which it goes back once, `blind` for a
saboteur: guards that never tell.
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from cpu_node.debugger import Why
from cpu_node.timeline.entries import Entries
from cpu_node.timeline.forward import Pace
from cpu_node.timeline.guards import Guards
from cpu_node.timeline.history import History
from cpu_node.timeline.replica import Replica
from deploy.replayable import replayable
from machine.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpu_node.debugger import Order, Stop
    from cpu_node.timeline.replica import Points


class Waiting:
    """Somebody patient."""

    def wait(self, replicas: Sequence[Replica]) -> Replica:
        """See History."""
        ready = select.select([replica.channel for replica in replicas], [], [])[0]
        return next(replica for replica in replicas if replica.channel in ready)


def stops_of(recording: Recording, request: dict[str, Any]) -> dict[str, Any]:
    """All that was asked for, and how many scouts there were."""
    entries = Entries(recording, replayable(recording))
    pace = Pace(request["spacing"], request["slowly"])
    points: Points = (request["breaks"], [tuple(watch) for watch in request["watches"]])
    scouts = 0
    resume = Replica.resume

    def counted(replica: Replica, order: Order, points: Points = ((), ())) -> None:
        nonlocal scouts
        scouts += order.scouting
        resume(replica, order, points)

    with mock.patch.object(Replica, "resume", counted):
        history = History(entries.first(), recording.end_icount, Waiting(), entries, pace)
        there: list[Any] = []
        while len(there) < request["most"] and (not there or there[-1][0] in (Why.WATCH, Why.BREAK)):
            there.append(_shown(history.forward(points, step=False)))
        back = []
        for icount in request["back"]:
            history.seek(icount)
            back.append(_shown(history.back_to_point(points)))
        history.close()
    return {"there": there, "back": back, "scouts": scouts}


def _shown(stop: Stop) -> list[Any]:
    hit = stop.hit
    met = None if hit is None else [hit.kind, hit.icount, hit.pc, hit.address, hit.size, hit.device]
    return [stop.why, stop.icount, stop.pc, met]


def main(path: str, text: str) -> None:
    """Print the stops as JSON."""
    request = json.loads(text)
    if request["blind"]:
        Guards.touched = False  # type: ignore[assignment,method-assign]
    print(json.dumps(stops_of(Recording.open(Path(path)), request)))


if __name__ == "__main__":
    main(*sys.argv[1:])
