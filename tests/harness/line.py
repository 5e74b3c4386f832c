"""A guest that echoes in capitals, at a socket that a test types into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.harness.guests import guest
from tests.harness.machine import typed
from tests.harness.monitor import connect

if TYPE_CHECKING:
    from tests.harness.machine import Home, Running
    from tests.harness.rigged import Rig

END: Final = b"\x04"


class EchoLine:
    """The machine, recorded, and its line."""

    def __init__(self, home: Home, rig: Rig | None = None, *options: str) -> None:
        self.path = home.work / "a.dejavm"
        where = home.work / "line"
        words = ("--kernel", guest("echo"), "--serial", f"unix:{where},server=on")
        self.running: Running = home.start("record", "bare", *words, "-o", self.path, *options, rig=rig)
        self._peer = connect(where)
        self._said = self._peer.makefile("rb")
        home.closing.callback(self.close)
        assert self._said.readline() == b"READY\n"

    def echo(self, text: bytes) -> None:
        """Typed, and said again, exactly."""
        self._peer.sendall(text + b"\n")
        assert self._said.readline() == text.upper() + b"\n"

    def end(self) -> str:
        """Have the guest switch off; everything must have come through; what was said on standard error."""
        self._peer.sendall(END)
        assert self._said.readline() == b"\n"
        assert self._said.readline().startswith(b"count ")
        assert self._said.readline() == b"PASS\n"
        done = self.running.finish()
        self.close()
        assert done.exit_code == 0, done.stderr
        return done.stderr

    def survive(self, home: Home, lives: int) -> None:
        """Twenty lines while a process dies so often: no byte is lost or doubled, and the recording is exact."""
        for number in range(20):
            self.echo(b"line %d" % number)
        said = self.end()
        assert said.count("stands in for it") == lives
        assert typed(self.path) == b"".join(b"line %d\n" % number for number in range(20)) + END
        home.verify_both_ways(self.path)

    def close(self) -> None:
        """Hang up."""
        self._said.close()
        self._peer.close()
