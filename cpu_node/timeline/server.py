"""A player that is told what to do, line by line, and can go back: forks of the process are its memory.

Theory of operation.  `save` forks: the parent waits, the child goes on in its place, on the same pipes.  `restore`
ends the child, and the parent is where it was.  A look at a place ahead is a fork too.
Requests and answers are JSON, one a line; docs/timeline.md lists them.

Lives here: forking, requests.  Never here: what a difference means (whoever asks compares).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from machine.errors import Divergence, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cpu_node.timeline.player import Player

RESTORED: Final = 64
"""Exit code of a child that was told to give way to its parent."""

Request = dict[str, Any]


class Server:
    """One player and the requests for it."""

    def __init__(self, player: Player, requests: int, answers: int) -> None:
        self._player = player
        self._requests = requests
        self._answers = answers
        self._unread = b""
        self._handlers: Mapping[str, Callable[[Request], Request]] = {
            "run_on": self._run_on,
            "look": self._look,
            "save": self._save,
            "forget": self._forget,
        }

    def serve(self) -> None:
        """Until nobody asks any more."""
        # Loads the disassembler here, and not again in every fork.
        self._player.arch.inspect.disassemble(b"", 0)
        self._answer({"ready": True, "icount": self._player.icount})
        while (line := self._next_line()) is not None:
            request: Request = json.loads(line)
            if "restore" in request:
                os._exit(RESTORED)
            name = next(iter(request))
            self._answer(self._handlers[name](request))

    def _run_on(self, request: Request) -> Request:
        try:
            more = self._player.run_on(int(request["run_on"]))
        except Divergence as error:
            waits_at = self._player.link.waits_at
            stands = self._player.icount if waits_at is None else waits_at
            return {"icount": stands, "more": False, "divergence": str(error), "at": error.stamp.icount}
        return {"icount": self._player.icount, "more": more, "seq": self._player.link.seq}

    def _look(self, request: Request) -> Request:
        """Where the player stands; at an exact instruction that has not been reached yet by a fork."""
        if request["look"] is None:
            return self._found(request)
        answer, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(answer)
            self._tell(ours, request)
        os.close(ours)
        with os.fdopen(answer, "rb") as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        found: Request = json.loads(text) if text else {"error": "the look died"}
        return found

    def _tell(self, pipe: int, request: Request) -> None:
        """In the fork: run there, look, tell, and be gone without any of Python's farewells."""
        try:
            self._player.run_exactly(int(request["look"]))
            found = self._found(request)
        except (Divergence, MachineError) as error:
            found = {"error": str(error)}
        with os.fdopen(pipe, "wb") as out:
            out.write(json.dumps(found).encode())
        os._exit(0)

    def _found(self, request: Request) -> Request:
        player = self._player
        pages = player.page_digests(request.get("pages", ()))
        return {
            "icount": player.icount,
            "registers": player.registers(),
            "granules": [digest.hex() for digest in player.granule_digests()] if request.get("all") else [],
            "pages": {str(number): digest.hex() for number, digest in pages.items()},
            "bytes": {str(number): player.memory.page(number).hex() for number in request.get("bytes", ())},
            **player.instruction(),
        }

    def _save(self, _: Request) -> Request:
        """The child goes on; the parent comes back when the child gives way."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            return {"saved": parent}
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != RESTORED:
            os._exit(max(status, 0))
        return {"restored": self._player.icount}

    def _forget(self, request: Request) -> Request:
        """Give up a saved state that nobody will go back to."""
        os.kill(int(request["forget"]), signal.SIGKILL)
        return {"forgotten": request["forget"]}

    def _next_line(self) -> bytes | None:
        while b"\n" not in self._unread:
            data = os.read(self._requests, 1 << 16)
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _answer(self, answer: Request) -> None:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(self._answers, data) :]


def complain(error: MachineError) -> int:
    """Say why there is no player; the exit code."""
    sys.stderr.write(f"timeline: {error}\n")
    return error.exit_code
