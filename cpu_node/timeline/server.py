"""A player that is told what to do, line by line, and can go back: forks of the process are its memory.

Theory of operation.  `save` forks: the parent waits, the child goes on in its place, on the same pipes.  Whoever asks
goes back by killing the child, whatever that does: then the parent throws away what the child has left unread, says
`restored`, and is where it was.  A look at a place ahead, or a walk over several, is a fork too.
Requests and answers are JSON, one a line; docs/timeline.md lists them.

Lives here: forking, requests.  Never here: what a difference means (whoever asks compares).
"""

from __future__ import annotations

import gc
import json
import os
import select
from typing import TYPE_CHECKING, Any

from cpu_node.timeline.channel import end_of_process
from machine.errors import Divergence, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cpu_node.timeline.player import Player

Request = dict[str, Any]


class Server:
    """One player and the requests for it."""

    def __init__(self, player: Player, requests: int, answers: int) -> None:
        self._player = player
        self._requests = requests
        self._answers = answers
        self._unread = b""
        self._stuck: Divergence | None = None
        """Why it cannot go on from where it stands."""
        self._handlers: Mapping[str, Callable[[Request], Request]] = {
            "run_on": self._run_on,
            "look": self._look,
            "walk": self._walk,
            "save": self._save,
        }

    def serve(self) -> None:
        """Until nobody asks any more."""
        # Loads the disassembler here, and not again in every fork.
        self._player.arch.inspect.disassemble(b"", 0)
        # What is there now is touched by no collection any more, so forks share it.
        gc.freeze()
        self._answer({"ready": True, "icount": self._player.icount})
        while (line := self._next_line()) is not None:
            request: Request = json.loads(line)
            name = next(iter(request))
            try:
                answer = self._handlers[name](request)
            except MachineError as error:
                answer = refusal(error)
            self._answer(answer)

    def _run_on(self, request: Request) -> Request:
        try:
            if self._stuck is not None:
                raise self._stuck
            more = self._player.run_on(int(request["run_on"]))
        except Divergence as error:
            self._stuck = error
            return {"icount": self._waits_at, "more": False, "divergence": str(error), "at": error.stamp.icount}
        return {"icount": self._player.icount, "more": more, "seq": self._player.link.seq}

    @property
    def _waits_at(self) -> int:
        """Where the player stands that cannot go on."""
        waits_at = self._player.link.waits_at
        return self._player.icount if waits_at is None else waits_at

    def _look(self, request: Request) -> Request:
        """Where the player stands; at an exact instruction that has not been reached yet by a fork."""
        return self._found(request) if request["look"] is None else self._in_a_fork(self._look_ahead, request)

    def _look_ahead(self, request: Request) -> Request:
        self._player.run_exactly(int(request["look"]))
        return self._found(request)

    def _walk(self, request: Request) -> Request:
        """Registers and pages at several sync points ahead, by a fork."""
        return self._in_a_fork(self._walk_ahead, request)

    def _walk_ahead(self, request: Request) -> Request:
        player = self._player
        steps: list[tuple[int, str | None]] = []
        for goal in request["walk"]:
            try:
                more = player.run_on(int(goal))
            except Divergence as error:
                steps.append((min(self._waits_at, error.stamp.icount), None))
                break
            steps.append((player.icount, player.digest_of(request["pages"])))
            if not more:
                break
        return {"steps": steps}

    def _in_a_fork(self, find: Callable[[Request], Request], request: Request) -> Request:
        answer, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(answer)
            self._tell(ours, find, request)
        os.close(ours)
        with os.fdopen(answer, "rb") as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        found: Request = json.loads(text) if text else {"error": "the look died"}
        return found

    def _tell(self, pipe: int, find: Callable[[Request], Request], request: Request) -> None:
        """In the fork: find it, tell, and be gone without any of Python's farewells."""
        try:
            found = find(request)
        except MachineError as error:
            found = refusal(error)
        with os.fdopen(pipe, "wb") as out:
            out.write(json.dumps(found).encode())
        os._exit(0)

    def _found(self, request: Request) -> Request:
        player = self._player
        pages = player.page_digests(request.get("pages", ()))
        granules = player.granule_digests(None if request.get("all") else request.get("granules", ()))
        return {
            "icount": player.icount,
            "registers": player.registers(),
            "granules": {number: digest.hex() for number, digest in granules.items()},
            "pages": {str(number): digest.hex() for number, digest in pages.items()},
            "bytes": {str(number): player.memory.page(number).hex() for number in request.get("bytes", ())},
            **player.instruction(),
        }

    def _save(self, _: Request) -> Request:
        """The child goes on; the parent comes back when the child has been killed, or is gone when it has ended."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            return {"saved": parent, "icount": self._player.icount}
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status >= 0:
            os._exit(status)
        self._unread = b""
        while select.select([self._requests], [], [], 0)[0] and os.read(self._requests, 1 << 16):
            pass
        return {"restored": self._player.icount}

    def _next_line(self) -> bytes | None:
        while b"\n" not in self._unread:
            data = os.read(self._requests, 1 << 16)
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _answer(self, answer: Request) -> None:
        # Whoever has been killed may have left half a line.
        data = b"\n" + json.dumps(answer | {"by": os.getpid(), "stands": self._player.icount}).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._answers, data) :]
        except BrokenPipeError:
            # Whoever has asked is gone.
            end_of_process()


def refusal(error: MachineError) -> Request:
    """The answer where there is none: why, and what the exit code is of it."""
    return {"error": str(error), "exit_code": error.exit_code}
