"""The ports of the USB controller behind one backend: each message begins with its port.

Lives here: which port a descriptor or a message belongs to, plugging and unplugging while the machine runs.
Never here: what a message means to what is plugged in.
"""

from __future__ import annotations

import logging
import select
import time
from typing import TYPE_CHECKING, Final

from devices.backends.base import BackendBase
from devices.backends.usb.port import Port, PortLink
from devices.backends.words import check_word
from devices.backends.work import WorkPool
from devices.usb.messages import PORTS, encode_unplugged
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent, RunMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devices.model import Run, Submit

log = logging.getLogger("dejavm")

Words = tuple[str, ...]
"""What is in each port, from port 1 on."""

HEAD_BYTES: Final = 2
"""Port and what, in front of the data of an input."""
APPEAR_S: Final = 10.0
"""How long a machine that starts waits for what is to be plugged in."""


class _Plug:
    """One port while it is open."""

    def __init__(self, word: str, port: Port, link: PortLink) -> None:
        self.word = word
        self.port = port
        self.link = link

    def stands(self, word: str) -> bool:
        """Whether it is what a word asks for, and still there."""
        return self.word == word and (self.link.plugged or self.port.appearing())


class UsbBackend(BackendBase):
    """All ports of one controller."""

    def __init__(
        self, name: str, parse: Callable[[str, str], Words], make: Callable[[str, str], Port], word: str
    ) -> None:
        """`parse(word, name)` gives the ports' words, `make(word, where)` a port; BackendError if one is wrong."""
        super().__init__(name)
        self._parse = parse
        self._make = make
        self._words = parse(word, name)
        self._new = {number: make(word, self._where(number)) for number, word in self._numbered(self._words)}
        """Ports that have not been opened."""
        self._plugs: dict[int, _Plug] = {}
        self._owners: Mapping[int, Port] = {}
        self._pool: WorkPool | None = None
        self._run: Run | None = None
        self._live = False
        """The device has been powered on and no recording is being replayed: its wishes are carried out."""
        self._said = 0
        """Bytes of data submitted."""
        self._resumed = False
        """The machine has run with this controller before."""

    @property
    def replugs(self) -> bool:
        """Nothing of what is plugged in outlives its process."""
        return True

    @property
    def unrecordable(self) -> str:
        """As the first port that is."""
        return next((port.unrecordable for port in self._new.values() if port.unrecordable), "")

    def attach(self, run: Run) -> None:
        """Every port's."""
        self._run = run

    def open(self, submit: Submit) -> None:
        """Plug everything in; BackendError if something does not appear."""
        super().open(submit)
        new, self._new = self._new, {}
        self._plugs = self._open_ports(dict(self._numbered(self._words)), new)
        try:
            self._await_devices(time.monotonic() + APPEAR_S)
        except BackendError:
            self.close()
            raise
        for _, plug in sorted(self._plugs.items()):
            plug.link.release()

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """Pull everything out and plug it in again.  What cannot be had leaves its port empty."""
        super().open(submit)
        self._resumed = True
        for data in self.parting():
            submit(HostEvent.CLOSED, data, 0)
        new, self._new = self._new, {}
        for number, word in self._numbered(self._words):
            new[number].come_again()
            try:
                (plug,) = self._open_ports({number: word}, {number: new[number]}).values()
            except BackendError as reason:
                log.warning("not plugged in again: %s", reason)
                continue
            self._plugs[number] = plug
            plug.link.release()
        return True

    def parting(self) -> Sequence[bytes]:
        """Every port."""
        return tuple(encode_unplugged(number) for number in range(1, PORTS + 1))

    def close(self) -> None:
        """Unplug everything, after what the device has asked for has been done."""
        plugs, self._plugs = self._plugs, {}
        for plug in plugs.values():
            plug.port.finish()
        if self._pool is not None:
            self._pool.close()

    def take_word(self, word: str) -> bool:
        """Plug and unplug what differs; what is already there stays.  BackendError leaves everything as it is."""
        check_word(word, self._name)
        wanted = dict(self._numbered(self._parse(word, self._name)))
        changed = {n: w for n, w in wanted.items() if n not in self._plugs or not self._plugs[n].stands(w)}
        gone = [number for number in self._plugs if number not in wanted]
        made = {number: self._make(text, self._where(number)) for number, text in changed.items()}
        fresh = self._open_ports(changed, made)
        self._refuse_failed(fresh)
        for number in sorted((*gone, *changed)):
            if (old := self._plugs.pop(number, None)) is not None:
                old.port.close()
                old.link.cut()
        self._plugs |= fresh
        for _, plug in sorted(fresh.items()):
            plug.link.release()
        return True

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Those of all ports, and the one that tells of finished work."""
        owners: dict[int, Port] = {}
        found = []
        for plug in self._plugs.values():
            for descriptor, reads, writes in plug.port.descriptors(max(0, room - HEAD_BYTES)):
                if descriptor not in owners:
                    owners[descriptor] = plug.port
                    found.append((descriptor, reads, writes))
        self._owners = owners
        if self._pool is not None:
            found.append((self._pool.wake_fd, True, False))
        return found

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Have the port serve it."""
        if self._pool is not None and descriptor == self._pool.wake_fd:
            self._pool.collect()
            return
        owner = self._owners.get(descriptor)
        # Serving another descriptor may have unplugged this one's port.
        if owner is not None and any(plug.port is owner for plug in self._plugs.values()):
            owner.ready(descriptor, readable, writable, max(0, room - HEAD_BYTES))

    def advance(self, room: int) -> None:
        """Each port may say as much as the others have left."""
        self._live = True
        begun = self._said
        for _, plug in sorted(self._plugs.items()):
            plug.port.advance(max(0, room - (self._said - begun) - HEAD_BYTES))

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """Tell the port, without the heads."""
        if data and (plug := self._plugs.get(data[0])) is not None:
            plug.port.passed(data[HEAD_BYTES if inbound else 1 :], icount, inbound=inbound)

    def waiting(self) -> str:
        """What the first of the ports waits for that does; "" once the machine has run."""
        if self._resumed:
            return ""
        return next((awaited for plug in self._plugs.values() if (awaited := plug.port.waiting())), "")

    def wants_quit(self) -> bool:
        """One of the ports' users wants to."""
        return any(plug.port.wants_quit() for plug in self._plugs.values())

    def write(self, data: bytes) -> BackendResult:
        """Have the port take it; for a port with nothing in it there is nobody to mind."""
        plug = self._plugs.get(data[0]) if data else None
        if plug is None or not plug.link.plugged:
            return BackendResult(len(data))
        if self._live:
            return plug.port.write(data)
        return BackendResult(len(data) if plug.port.listen(data) else 0)

    def _open_ports(self, words: Mapping[int, str], made: Mapping[int, Port]) -> dict[int, _Plug]:
        """Open ports that say nothing yet; BackendError if one cannot be, all are closed then."""
        plugs: dict[int, _Plug] = {}
        try:
            for number, port in made.items():
                link = PortLink(number, self._name, self._count, self._work)
                plugs[number] = _Plug(words[number], port, link)
                self._attach(port, link.where)
                port.open(link)
        except BackendError:
            for plug in plugs.values():
                plug.port.close()
            raise
        return plugs

    def _attach(self, port: Port, where: str) -> None:
        if self._run is None:
            return
        if self._run.mode is RunMode.RECORD and port.unrecordable:
            raise BackendError(f"{where} cannot be recorded: {port.unrecordable}")
        port.attach(self._run)

    def _await_devices(self, deadline_s: float) -> None:
        """Serve the host until everything has been plugged in; BackendError if it does not come."""
        while any(plug.port.appearing() for plug in self._plugs.values()):
            poller = select.poll()
            for descriptor, reads, writes in self.descriptors(0):
                poller.register(descriptor, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
            found = poller.poll(max(0.0, deadline_s - time.monotonic()) * 1000)
            if not found:
                (first, *_) = (plug for plug in self._plugs.values() if plug.port.appearing())
                raise BackendError(f"{first.link.where}: {first.word} has not appeared in {APPEAR_S:.0f} s")
            for descriptor, events in found:
                self.ready(descriptor, bool(events & ~select.POLLOUT), bool(events & ~select.POLLIN), 0)
        self._refuse_failed(self._plugs)

    def _refuse_failed(self, plugs: Mapping[int, _Plug]) -> None:
        """BackendError if one of them has failed already; all of them are closed then."""
        for plug in plugs.values():
            if why := plug.port.trouble():
                for other in plugs.values():
                    other.port.close()
                raise BackendError(f"{plug.link.where}: {why}")

    def _count(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        self._said += len(data)
        self._submit(event, data, delay_ns)

    def _work(self) -> WorkPool:
        if self._pool is None:
            self._pool = WorkPool(self._name)
        return self._pool

    def _where(self, number: int) -> str:
        return f"{self._name} port {number}"

    @staticmethod
    def _numbered(words: Words) -> list[tuple[int, str]]:
        return [(number, word) for number, word in enumerate(words, 1) if word]
