"""How a process of ours ends when its work is done."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import zmq

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


def hang_up(context: zmq.Context[zmq.Socket[bytes]], within_s: float) -> None:
    """Have ZeroMQ send what its closed sockets hold, and end; it is left behind where that takes longer.

    It should not, since all sockets linger for a time only.  But where the other side ends a connection at the very
    moment libzmq 4.3.5 may wait for ever (about once in a hundred ends of a ROUTER whose only client leaves).
    """
    if threading.current_thread() is not threading.main_thread():
        context.term()
        return
    # A signal is what zmq_ctx_term(3) comes back for.
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    signal.setitimer(signal.ITIMER_REAL, within_s, within_s)
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
