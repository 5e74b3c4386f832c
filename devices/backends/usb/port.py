"""What everything behind a USB port has in common, and its way to the device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from devices.usb.messages import Kind, Plugged, PortData, What, encode_data, encode_plugged, encode_unplugged
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.backends.work import WorkPool
    from devices.model import Run, Submit
    from devices.usb.messages import Description

log = logging.getLogger("dejavm")


class PortLink:
    """A port's way to the device.  It holds what it is told until it is released, and tells nothing once it is cut."""

    def __init__(self, number: int, name: str, submit: Submit, pool: Callable[[], WorkPool]) -> None:
        self.number = number
        self.where = f"{name} port {number}"
        """For messages."""
        self.plugged = False
        """The device has been told, or will be, that something is there."""
        self._submit = submit
        self._pool = pool
        self._held: list[tuple[HostEvent, bytes, int]] | None = []
        self._cut = False

    @property
    def pool(self) -> WorkPool:
        """For slow work on the host."""
        return self._pool()

    @property
    def released(self) -> bool:
        """Nothing is held any more."""
        return self._held is None

    def plug(self, kind: Kind, description: Description = None) -> None:
        """Something has been plugged in."""
        self.plugged = True
        self._say(HostEvent.OPENED, encode_plugged(Plugged(self.number, kind, description)))

    def unplug(self) -> None:
        """It has gone."""
        if self.plugged:
            self.plugged = False
            self._say(HostEvent.CLOSED, encode_unplugged(self.number))

    def data(self, what: What, data: bytes = b"", delay_ns: int = 0) -> None:
        """It has something to say; nobody listens to what is not plugged in."""
        if self.plugged:
            self._say(HostEvent.DATA, encode_data(PortData(self.number, what, data)), delay_ns)

    def takes_more(self) -> None:
        """While a recording is replayed: what was not taken by listen() may be offered again."""
        self._say(HostEvent.WRITABLE, b"")

    def release(self) -> None:
        """Tell what has been held, and everything from now on."""
        held, self._held = self._held or [], None
        for message in held:
            self._submit(*message)

    def cut(self) -> None:
        """Say that it has gone, if it was there, and nothing more."""
        self.unplug()
        self._cut = True

    def _say(self, event: HostEvent, data: bytes, delay_ns: int = 0) -> None:
        if self._held is not None:
            self._held.append((event, data, delay_ns))
        elif not self._cut:
            self._submit(event, data, delay_ns)


class Port:
    """A port with nothing in it; the others say what they change.

    The multiplexer calls as devices/model.py says of a Backend; `room` is for bytes of data, the head of their
    message taken off.  Messages are whole, their port number included.
    """

    @property
    def unrecordable(self) -> str:
        """Why what it brings cannot be recorded."""
        return ""

    def attach(self, run: Run) -> None:
        """Called once, before open()."""

    def come_again(self) -> None:
        """Called before open() where it had been plugged in by a process that has died: the host may not know yet."""

    def open(self, link: PortLink) -> None:
        """Take hold of what is to be plugged in; BackendError names what cannot be had."""

    def appearing(self) -> bool:
        """Whether something is still on its way to be plugged in."""
        return False

    def trouble(self) -> str:
        """Why it has not appeared, "" if it has or may yet."""
        return ""

    def close(self) -> None:
        """Let go of it.  Safe to call twice and without open()."""

    def finish(self) -> None:
        """Let go of it at the end of the run, after what the device has asked for has been done."""
        self.close()

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """(descriptor, wants to read, wants to write) to wait for."""
        return ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """A descriptor has become ready."""

    def advance(self, room: int) -> None:
        """The device has handled a message."""

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """Data has gone to the device or has been handed over by it, heads taken off."""

    def waiting(self) -> str:
        """What the machine must wait for before it starts; "" for nothing."""
        return ""

    def wants_quit(self) -> bool:
        """Whether the user wants to end the run."""
        return False

    def write(self, message: bytes) -> BackendResult:
        """Take an output of the device."""
        return BackendResult(len(message))

    def listen(self, message: bytes) -> bool:
        """Take an output while a recording is replayed; False: not now, PortLink.takes_more() will say when."""
        return True
