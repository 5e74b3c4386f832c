"""How a process of ours ends when its work is done."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import zmq

HANG_UP_S: Final = 1.0
"""How long behind the last of its sockets ZeroMQ may take to end."""
LAUNCHER: Final = "DEJAVM_LAUNCHER"
"""Set to the number of the process that has started a machine's and looks after them: behind its end they end, too."""


def leave(exit_code: int) -> NoReturn:
    """End this process now; what it has said is out, what it has opened is closed or goes with it.

    Python would first take itself apart, module by module and object by object: 20 ms for each process of a
    machine, which its user waits for.  Handlers of atexit are not run.
    """
    _flush()
    os._exit(exit_code)


def die_of(number: signal.Signals) -> None:
    """The same by a signal, so that whoever waits for this process sees it; returns where the signal is held back."""
    _flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def hang_up(context: zmq.Context[zmq.Socket[bytes]], linger_s: float) -> None:
    """Have ZeroMQ send what its closed sockets hold, and end; it is left behind where it does not, HANG_UP_S too late.

    It should, since all sockets linger for a time only, `linger_s` at most.  But where the other side ends a connection
    at the very moment libzmq 4.3.5 may wait for ever (once in a hundred ends of a ROUTER whose only client leaves).
    """
    try:
        # A signal is what zmq_ctx_term(3) comes back for.
        before = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    except ValueError:  # signals are the main thread's alone
        context.term()
        return
    signal.setitimer(signal.ITIMER_REAL, linger_s + HANG_UP_S, HANG_UP_S)
    try:
        context.term()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # What nobody takes any more was said in vain, and is no other end.
            with suppress(OSError):
                stream.flush()
