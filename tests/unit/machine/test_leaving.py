"""How processes of ours end."""

from __future__ import annotations

import signal
import threading
import time

import zmq

from machine.leaving import hang_up


def test_who_hangs_up_does_not_wait_for_ever() -> None:
    context = zmq.Context()
    # Nobody is there, and it may linger for ever.
    socket = context.socket(zmq.DEALER)
    socket.connect("ipc:///nowhere/at/all")
    socket.send(b"hello")
    socket.close(linger=-1)
    handler, began = signal.getsignal(signal.SIGALRM), time.monotonic()
    hang_up(context, 0.2)
    assert 0.2 <= time.monotonic() - began < 10
    assert context.closed
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_has_been_said_is_sent_by_who_hangs_up() -> None:
    heard = zmq.Context()
    ours = heard.socket(zmq.PULL)
    port = ours.bind_to_random_port("tcp://127.0.0.1")
    for hang in (lambda context: hang_up(context, 5.0), _from_a_thread):
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(b"last words")
        socket.close(linger=5000)
        hang(context)
        assert ours.poll(5000)
        assert ours.recv() == b"last words"
    ours.close(linger=0)
    heard.term()


def _from_a_thread(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """Signals are the main thread's alone."""
    thread = threading.Thread(target=hang_up, args=(context, 5.0))
    thread.start()
    thread.join()
