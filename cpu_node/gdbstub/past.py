"""gdb in front of a recording: the history's positions in gdb's words, and the `monitor` commands of replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpu_node.gdbstub.target import Answer, Resume, TargetError
from cpu_node.timeline.events import events_near
from cpu_node.timeline.history import Interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.debugger import Stop, Watch
    from cpu_node.timeline.history import History
    from cpu_node.timeline.replica import Points, Replica
    from machine.recording.reader import Recording

READ_BYTES: Final = 1 << 14
READ_ONLY: Final = "this is a recording: what is changed is in no recording; branch first"
NEWS: Final = "; gdb learns of it by `maintenance flush register-cache`"


class PastTarget:
    """See cpu_node/gdbstub/target.py, Target."""

    can_reverse = True
    why_read_only = READ_ONLY

    def __init__(self, recording: Recording, arch: ArchSpec, history: History) -> None:
        self._recording = recording
        self.arch = arch
        self._history = history
        self._points: Points = ((), ())
        self._checkpoints: list[Replica] = []
        self._registers: tuple[Replica, Stop, tuple[int, ...]] | None = None

    def resume(self, resume: Resume) -> Stop:
        """Go on and wait until it stands, which an impatient gdb can hasten."""
        history = self._history
        if not resume.backwards:
            return history.forward(self._points, step=resume.step)
        try:
            return history.back_step(self._points[1]) if resume.step else history.back_to_point(self._points)
        except Interrupted:
            return history.unmoved()

    def raw_registers(self) -> tuple[int, ...]:
        """See Target."""
        present = self._history.present
        known = self._registers
        if known is None or known[0] is not present or known[1] is not present.stop:
            values = tuple(present.ask(registers=True)["values"])
            self._registers = known = (present, present.stop, values)
        return known[2]

    def registers(self) -> Mapping[str, int]:
        """See Target."""
        stop = self._history.present.stop
        return self.arch.debugging.view(self.raw_registers(), stop.icount, stop.now_ns)

    def read_physical(self, address: int, size: int) -> bytes:
        """See Target."""
        data = b""
        while len(data) < size:
            want = min(READ_BYTES, size - len(data))
            part = bytes.fromhex(self._history.present.ask(read=address + len(data), size=want)["data"])
            data += part
            if len(part) < want:
                break
        return data

    def write_physical(self, address: int, data: bytes) -> None:
        """See Target."""
        raise TargetError(READ_ONLY)

    def put_register(self, name: str, value: int) -> bool:
        """See Target."""
        raise TargetError(READ_ONLY)

    def set_points(self, breaks: Sequence[int], watches: Sequence[Watch]) -> None:
        """See Target."""
        self._points = (tuple(breaks), tuple(watches))

    def command(self, words: Sequence[str], stop: Stop) -> Answer | None:
        """See Target."""
        match list(words):
            case ["when"]:
                return Answer(f"icount {stop.icount}, virtual time {stop.now_ns} ns, event {stop.seq}\n")
            case ["info", "replay"]:
                name, end = self._recording.path, self._history.end_icount
                return Answer(f"Replaying execution '{name}': instruction count = {stop.icount} of {end}\n")
            case ["seek" | "replay_seek", icount]:
                return self._moved(self._seek(_number(icount)))
            case ["checkpoint"]:
                self._checkpoints.append(self._history.present.fork())
                return Answer(f"Checkpoint {len(self._checkpoints)} at icount {stop.icount}.\n")
            case ["info", "checkpoints"] | ["checkpoints"]:
                rows = (f"{n}  icount {kept.icount}, pc {kept.stop.pc:#x}\n" for n, kept in self._numbered())
                return Answer("".join(rows) or "no checkpoints\n")
            case ["restart", number]:
                return self._moved(self._history.go_to(self._checkpoint(number)))
            case ["events"]:
                return Answer(events_near(self._recording, stop.seq))
            case ["events", count]:
                return Answer(events_near(self._recording, stop.seq, _number(count)))
            case _:
                return None

    def help(self) -> Mapping[str, str]:
        """See Target."""
        return {
            "when": "instructions, virtual time and messages up to here",
            "events [N]": "the messages around here",
            "seek ICOUNT": "go to an instruction",
            "checkpoint": "keep this place",
            "checkpoints": "the places that are kept",
            "restart N": "go to a place that is kept",
            "info replay": "as in QEMU's monitor",
        }

    def close(self) -> None:
        """End the kept processes."""
        for kept in self._checkpoints:
            kept.end()

    def _seek(self, icount: int) -> Stop:
        begin, end = self._history.begin_icount, self._history.end_icount
        if not begin <= icount <= end:
            raise TargetError(f"{icount} is outside the recording, which goes from {begin} to {end}")
        try:
            return self._history.seek(icount)
        except Interrupted as error:
            raise TargetError("interrupted; nothing has moved") from error

    def _moved(self, stop: Stop) -> Answer:
        return Answer(f"icount {stop.icount}, pc {stop.pc:#x}{NEWS}\n", stop)

    def _numbered(self) -> list[tuple[int, Replica]]:
        return list(enumerate(self._checkpoints, 1))

    def _checkpoint(self, word: str) -> Replica:
        for number, kept in self._numbered():
            if str(number) == word:
                return kept
        raise TargetError(f"there is no checkpoint {word}")


def _number(word: str) -> int:
    try:
        return int(word.replace(",", "").replace("_", ""), 0)
    except ValueError as error:
        raise TargetError(f"{word} is no number") from error
