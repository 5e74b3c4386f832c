"""A stopwatch: a load tells how many presses there were, and sends where and when it was looked at to the backend."""

from __future__ import annotations

from dataclasses import dataclass, replace

from devices.api import DeviceBase, DeviceContext, DeviceSpec, HostEvent, vmstate, without_options

MOST = 1000


@vmstate("outside-stopwatch", 1)
@dataclass(slots=True)
class StopwatchState:
    """Presses so far."""

    presses: int = 0


class Stopwatch(DeviceBase[StopwatchState]):
    """One register.  Its value depends on the host's clock, which a replay must bring again."""

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """The presses, and above them what the clock says."""
        if offset:
            return 0
        now_ns = context.read_clock()
        context.output(f"{context.icount} {now_ns}\n".encode())
        return self.state.presses | (now_ns & 0xFF_FFFF) << 8

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Each byte is a press."""
        if event is HostEvent.DATA:
            self.state.presses += len(data)

    def input_room(self) -> int:
        """As many as fit."""
        return MOST - self.state.presses


def create() -> Stopwatch:
    """A stopwatch that nobody has pressed."""
    return Stopwatch(StopwatchState())


SPEC = DeviceSpec("stopwatch", "a stopwatch", without_options(create), "char")
SHARED = replace(SPEC, unrecordable="it shares its memory with the host's own stopwatch")
