"""The launcher's line to the broker: ask for the status, ask for the end."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.codec import decode
from machine.errors import ConnectionLost
from machine.icount import BROKER
from machine.message import Quit, Refused, Status, StatusRequest
from machine.port import Port

if TYPE_CHECKING:
    from deploy.plan import Places
    from machine.message import Message


LINGER_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Remote:
    """A broker's control socket on another host, HOST:PORT, and the directory of our keys."""

    address: str
    keys: Path


def _distant(remote: Remote) -> Port:
    # Imported here: only a machine of several hosts has keys.
    from machine.distant import DistantPort  # noqa: PLC0415
    from machine.keys import OPERATOR, KeyRing  # noqa: PLC0415

    return DistantPort(f"tcp://{remote.address}", KeyRing(remote.keys).client(OPERATOR))


class Control:
    """One question at a time; nothing is sent before the broker listens, so nothing is left unsent."""

    def __init__(self, places: Places, remote: Remote | None = None) -> None:
        """`remote` is where the broker is, if it is on another host.  BackendError if a key cannot be read."""
        self._path = places.control_path
        self._remote = remote
        self._endpoint = places.control
        self._port = self._open()
        self._asked = False
        self._quit_wanted = False

    @property
    def wake_fd(self) -> int:
        """Becomes readable when an answer may have come; only after latest() has returned."""
        return self._port.wake_fd

    @property
    def listening(self) -> bool:
        """Whether the broker has opened its end."""
        return self._remote is not None or self._path.exists()

    def renew(self) -> None:
        """Connect anew behind ConnectionLost: the broker, or another, may be at the same place; wake_fd is another."""
        self._port.close(linger_ms=0)
        self._port = self._open()
        self._asked = False

    def forget(self) -> None:
        """The broker that was asked has gone: another may be asked."""
        self._asked = False

    def ask(self, *, nodes: bool = False) -> bool:
        """Ask for the status, unless an answer is still due or nobody listens yet; whether it has been asked for."""
        if self._asked or not self.listening:
            return False
        self._port.send(StatusRequest(nodes), BROKER, 0)
        self._asked = True
        return True

    def tell(self, message: Message) -> None:
        """Say something that is not answered; lost when nobody listens."""
        if self.listening:
            self._port.send(message, BROKER, 0)

    def quit(self) -> None:
        """Ask for the end of the run; kept until the broker listens."""
        self._quit_wanted = True

    def press_power(self, timeout_s: float) -> str:
        """Have the broker press the guest's power key; "" if it has, or why not.  No answer may be due."""
        self.tell(Quit(power_off=True))
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            frame = self._port.receive(left)
            message = decode(frame.type, frame.payload) if frame is not None else None
            if isinstance(message, Refused):
                return message.reason
            if isinstance(message, Status):
                return ""
        return "the broker does not answer"

    def latest(self) -> Status | None:
        """The newest status that has come; None if none has.

        RemoteWireError if it is not one; ConnectionLost, once all that came before has been told.
        """
        if self._quit_wanted and self.listening:
            self._quit_wanted = False
            # A run that is over already is what its broker leaves behind at Quit: who has asked before it is told how.
            self.ask()
            self._port.send(Quit(), BROKER, 0)
        newest: Status | None = None
        try:
            while (frame := self._port.receive(0)) is not None:
                message = decode(frame.type, frame.payload)
                if isinstance(message, Status):
                    newest = message
                    self._asked = False
        except ConnectionLost:
            # A broker whose run is over says so and leaves.
            if newest is None:
                raise
        return newest

    def heard(self, *, nodes: bool = False) -> Status | None:
        """Ask, and the newest status that has come; where the connection is lost none has, and it is made anew."""
        self.ask(nodes=nodes)
        try:
            return self.latest()
        except ConnectionLost:
            self.renew()
            return None

    def wait(self, timeout_s: float) -> None:
        """Wait for an answer, no longer than that; what has become of the connection latest() tells."""
        try:
            pending = self._port.pending()
        except ConnectionLost:
            return
        if not pending:
            select.select([self._port.wake_fd], [], [], timeout_s)

    def _open(self) -> Port:
        return Port(self._endpoint) if self._remote is None else _distant(self._remote)

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Hang up when the last word has been taken, or nobody is there to take it."""
        self._port.close(linger_ms=linger_ms)
