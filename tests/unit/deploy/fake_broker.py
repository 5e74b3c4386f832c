"""A broker of which only the control socket is there: it answers with the statuses it was told.

    python -m tests.unit.deploy.fake_broker CONTROL TALE

TALE is a row of words: `running` or `ended` ... is the state told from the next question on;
`await-quit` lets the states before it stand until somebody says Quit; `say TEXT` words go to
standard error; `interrupt NAME` sends its starter that signal; `die CODE` ends the process at once;
`leave CODE` ends it once Quit has come.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque

import zmq

from machine.codec import decode, encode, encode_header, type_of
from machine.frame import Frame
from machine.leaving import hang_up, leave
from machine.message import PowerOffReason, Quit, RunState, Status
from machine.port import frames_of


class FakeBroker:
    """Tells one tale."""

    def __init__(self, endpoint: str, tale: list[str]) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(endpoint)
        self._tale = deque(tale)
        self._icount = 0
        self._quit = False

    def run(self) -> int:
        status = Status(RunState.STARTING)
        while True:
            identity, *parts = self._socket.recv_multipart()
            for frame in frames_of(parts):
                if isinstance(decode(frame.type, frame.payload), Quit):
                    self._quit = True
                    continue
                code, status = self._next(status)
                if code is not None:
                    return code
                payload = encode(status)
                header = encode_header(Frame(type_of(Status), 0, 0, 0, payload))
                self._socket.send_multipart([identity, header, payload])
            if self._quit and self._tale and self._tale[0] == "leave":
                self._socket.close(linger=1000)
                hang_up(self._context, 1.0)
                return int(self._tale[1])

    def _next(self, status: Status) -> tuple[int | None, Status]:
        if not self._tale or self._tale[0] == "leave" or (self._tale[0] == "await-quit" and not self._quit):
            return None, status
        word = self._tale.popleft()
        if word == "await-quit":
            return self._next(status)
        if word == "die":
            return int(self._tale.popleft()), status
        if word == "interrupt":
            os.kill(os.getppid(), signal.Signals[self._tale.popleft()])
            return None, status
        if word == "say":
            sys.stderr.write(self._tale.popleft() + "\n")
            return self._next(status)
        state, _, rest = word.partition(":")
        self._icount += 1_000_000
        reason = PowerOffReason[rest.upper()] if state == "ended" and rest else PowerOffReason.OUTSIDE
        detail = rest if state != "ended" else ""
        return None, Status(
            RunState[state.upper()], self._icount, 0, 7, 3, b"\xab\xcd", detail, power_off_reason=reason
        )


if __name__ == "__main__":
    leave(FakeBroker(sys.argv[1], sys.argv[2:]).run())
