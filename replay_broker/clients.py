"""Control clients: what they ask of the machine and what they are told.

Lives here: the answers, who is told of the end.
Never here: sockets, how the machine does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from machine import message as m
from machine.codec import decode, encode, encode_header, type_of
from machine.errors import RemoteWireError
from machine.frame import Frame
from machine.icount import BROKER
from machine.port import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replay_broker.monitor.monitor import Monitor

MOST_WATCHERS: Final = 64
"""Clients that are told of the end; who asked longest ago is forgotten first."""


class Host(Protocol):
    """What the server does for control clients."""

    def status(self, *, nodes: bool = False) -> m.Status:
        """How the machine is; with `nodes`, how each of its processes is."""

    def quit(self) -> None:
        """End the run."""

    def process_ended(self, node: str, pid: int, detail: str) -> None:
        """A process of the machine has ended."""

    def change_backend(self, node: str, word: str, done: Callable[[str], None]) -> None:
        """Put another backend behind a device."""


class Clients:
    """Everybody at the control socket."""

    def __init__(
        self,
        host: Host,
        tell: Callable[[bytes, Sequence[bytes]], None],
        refuse: Callable[[str], None],
        monitor: Monitor | None = None,
    ) -> None:
        self._host = host
        self._tell = tell
        self._refuse = refuse
        self._monitor = monitor
        self._watchers: dict[bytes, None] = {}

    def take(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """A client's requests; what is none is refused and counted."""
        try:
            for frame in frames_of(parts):
                self._on_request(identity, decode(frame.type, frame.payload))
        except RemoteWireError as error:
            self._refuse(f"a control client: {error}")

    def tell_watchers(self) -> None:
        """The run is over: everybody who has ever asked hears how it ended."""
        for identity in self._watchers:
            self._answer(identity, self._host.status())

    def _on_request(self, identity: bytes, request: m.Message) -> None:
        match request:
            case m.StatusRequest(nodes):
                self._watchers.pop(identity, None)
                self._watchers[identity] = None
                if len(self._watchers) > MOST_WATCHERS:
                    del self._watchers[next(iter(self._watchers))]
                self._answer(identity, self._host.status(nodes=nodes))
            case m.ProcessEnded(node, pid, detail):
                self._host.process_ended(node, pid, detail)
            case m.Quit(power_off=True):
                refused = "no monitor" if self._monitor is None else self._monitor.press_power()
                self._answer(identity, m.Refused(refused) if refused else self._host.status())
            case m.Quit():
                self._host.quit()
            case m.ChangeBackend(node, word):
                self._host.change_backend(node, word, lambda error: self._answer(identity, m.BackendChanged(error)))
            case _:
                raise RemoteWireError(f"{type(request).__name__} is not for the broker's control")

    def _answer(self, identity: bytes, message: m.Message) -> None:
        icount = self._host.status().icount
        frame = Frame(type_of(type(message)), BROKER, BROKER, icount, encode(message))
        self._tell(identity, (encode_header(frame), frame.payload))
