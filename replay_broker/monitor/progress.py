"""What clients hear of a command that takes long, while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replay_broker.monitor.machine import Machine

EVERY_NS: Final = 500_000_000
EVENT: Final = "DEJAVM_PROGRESS"


class Progress:
    """One machine's.  Nothing is told of what is done before the first half second is over."""

    def __init__(self) -> None:
        self._what: tuple[str, object] | None = None
        """Which command, and which of its kind."""
        self._next_ns = 0

    def notice(self, machine: Machine, now_ns: int) -> None:
        """Tell how far it is, if it is time; `now_ns` is the host's."""
        data = _under_way(machine)
        what = None if data is None else (str(data["command"]), data.get("goal"))
        if what != self._what:
            self._what, self._next_ns = what, now_ns + EVERY_NS
        elif data is not None and now_ns >= self._next_ns:
            self._next_ns = now_ns + EVERY_NS
            machine.hear(EVENT, data)


def _under_way(machine: Machine) -> Mapping[str, object] | None:
    """A journey of a replay, or a state that somebody waits for; None if there is neither."""
    if machine.host.outcome is not None:
        return None
    travel, taker = machine.host.travel, machine.host.taker
    if travel is not None and travel.goal is not None and travel.goal >= 0:
        return {"command": "replay-seek", "icount": machine.icount, "goal": travel.goal}
    if taker is not None and taker.stage:
        session = machine.host.session
        held = {"held": session.held} if session is not None and session.held else {}
        return {"command": "snapshot-save", "stage": taker.stage, **held}
    return None
