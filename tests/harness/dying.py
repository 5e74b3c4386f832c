"""A node's process that dies, by SIGKILL, so many steps after the past was over for it; and its successors.

    python -m tests.harness.dying STEPS LIVES COUNTER python -P -m devices --node ...

A step is a message taken, a message queued, or a breath about to be sent: every place inside an access comes up.
With a `+` behind STEPS each process lives one step longer than the one before; with a `!` it dies in its past, too;
with a `*` as well, and each lives STEPS longer than the one before, as one must that is told all of its past.
With `told` in place of STEPS a CPU dies when it has told what it had gathered and is about to say Sync; all of them
stop for an input as soon as it comes, where others may run on for as long as stores are gathered.
COUNTER is a file in which each leaves a byte; the one that finds LIVES of them does not die.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cpu_node import engine
from machine.codec import decode, type_of
from machine.message import MmioAccess, Present, Sync, Welcome
from machine.port import Port

if TYPE_CHECKING:
    from machine.frame import Frame
    from machine.message import Message

_PRESENT = type_of(Present)
_WELCOME = type_of(Welcome)
SOON: Final = 1000
"""Instructions."""


class Dying:
    """Counts steps; stands around a Port's methods."""

    def __init__(self, steps: int, *, in_past: bool) -> None:
        self._left = steps
        self._in_past = in_past
        self._counts = False

    def step(self) -> None:
        """One more."""
        if self._counts:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Have every port of this process count."""
        receive, queue, flush = Port.receive, Port.queue, Port.flush

        def counting_receive(port: Port, timeout_s: float | None = None) -> Frame | None:
            frame = receive(port, timeout_s)
            if frame is not None:
                self.step()
                self._counts |= frame.type == _PRESENT or (frame.type == _WELCOME and self._is_begin(frame))
            return frame

        def counting_queue(port: Port, *args: Any) -> None:
            self.step()
            queue(port, *args)

        def counting_flush(port: Port) -> None:
            if port._outgoing:  # a breath of nothing is none
                self.step()
            flush(port)

        for name, method in (("receive", counting_receive), ("queue", counting_queue), ("flush", counting_flush)):
            setattr(Port, name, method)

    def _is_begin(self, frame: Frame) -> bool:
        message = decode(frame.type, frame.payload)
        return isinstance(message, Welcome) and (self._in_past or not message.rebuild)


def die_when_told() -> None:
    """See above; a stop for which nothing was gathered is none."""
    send, told = Port.send, -1

    def watching_send(port: Port, message: Message, target: int, icount: int) -> None:
        nonlocal told
        if isinstance(message, MmioAccess):
            told = icount
        elif isinstance(message, Sync) and not message.idle and told == icount:
            os.kill(os.getpid(), signal.SIGKILL)
        send(port, message, target, icount)

    Port.send = watching_send  # type: ignore[method-assign,assignment]


def main(argv: list[str]) -> None:
    """Be the node, for a while."""
    steps, lives, counter, *command = argv
    path = Path(counter)
    lived = path.stat().st_size if path.exists() else 0
    with path.open("ab") as file:
        file.write(b".")
    if steps == "told":
        engine.POLL_EVERY = SOON  # type: ignore[misc]
        if lived < int(lives):
            die_when_told()
    elif lived < int(lives):
        number = int(steps.rstrip("+!*"))
        more = lived * (number if steps.endswith("*") else steps.endswith("+"))
        Dying(number + more, in_past=steps.endswith(("!", "*"))).install()
    module = command[command.index("-m") + 1]
    sys.argv = [module, *command[command.index("-m") + 2 :]]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
