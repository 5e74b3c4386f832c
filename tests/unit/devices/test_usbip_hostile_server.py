"""A device from outside whose server lies, stops in the middle, talks rubbish or dies: what the guest's driver sees.

The controller and its backend are the real ones, the server is played over a real socket.  At the end a device that is
plugged in works, and a replay has no server at all.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from typing import TYPE_CHECKING, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from devices.backends import create_backend
from devices.usb.contexts import EndpointKind
from devices.usb.model import Xhci
from devices.usb.transfers import SILENCE
from devices.usb.trb import Completion, TrbType
from tests.harness.host_loop import PATIENCE_MS
from tests.harness.hosted import Hosted
from tests.harness.said import listening
from tests.harness.xhci_driver import Driver
from tests.unit.devices.test_usbip_client import HEAD, Command, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devices.model import Backend

HOST: Final = "127.0.0.1"
IN, OUT = 3, 4
ENDPOINTS = {IN: (EndpointKind.INTERRUPT_IN, 64), OUT: (EndpointKind.BULK_OUT, 512)}
LENGTHS = st.sampled_from([1, 8, 64, 512, 3000])
FAILURES: Final[Mapping[int, Completion]] = {
    errno.EPIPE: Completion.STALL,
    errno.EOVERFLOW: Completion.BABBLE,
    errno.EPROTO: Completion.TRANSACTION_ERROR,
    errno.ENODEV: Completion.TRANSACTION_ERROR,
}


def make(word: str) -> Backend:
    """The backend of the controller."""
    return create_backend("usb", word, "usb0")


class Servers(RuleBasedStateMachine):
    """A guest with a device from outside, and its server."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.said = self.stack.enter_context(listening())
        self.there = False
        self.losses = 0
        self.driver = Driver()
        self.buffers: dict[int, tuple[int, int]] = {}
        """Endpoint -> address and length of the transfer that waits."""
        self.commands: dict[int, Command] = {}
        """Endpoint -> what the server has been asked and has not answered."""
        self.left = b""
        """The rest of an answer that has begun."""
        self.ending = 0
        """The endpoint of that answer."""

    @initialize()
    def begin(self) -> None:
        """A machine with nothing plugged in, and a server."""
        self.hosted = Hosted(self.driver.cpu, make("none"))
        self.stack.callback(self.hosted.close)
        self.listener = self.stack.enter_context(socket.create_server((HOST, 0)))
        self.listener.settimeout(PATIENCE_MS / 1000)
        self.word = f"usbip,host={HOST},port={self.listener.getsockname()[1]},busid=1-1.4"

    def received(self) -> list[Command]:
        """What the server has been sent so far."""
        self.hosted.settle()
        with contextlib.suppress(BlockingIOError):
            while data := self.peer.recv(1 << 16):
                self.server.client.outgoing += data
        return self.server.commands()

    def asked(self) -> Command:
        """The next command that the server is sent, and there is one only."""
        while not (commands := self.received()):
            select.select([self.peer], [], [], PATIENCE_MS / 1000)
        (command,) = commands
        return command

    def say(self, data: bytes) -> None:
        """The server sends; everything comes to rest."""
        self.peer.sendall(data)
        self.hosted.settle()

    @precondition(lambda self: not self.there)
    @rule(cut=st.integers(0, 400))
    def it_is_plugged_in(self, cut: int) -> None:
        """Each answer of the server's comes in two pieces."""
        self.hosted.change(self.word, make)
        self.peer = self.stack.enter_context(self.listener.accept()[0])
        self.peer.setblocking(False)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server = Server()
        self.server.client.outgoing.clear()
        self.hosted.settle()
        select.select([self.peer], [], [], PATIENCE_MS / 1000)
        assert self.peer.recv(40)[:4] == b"\x01\x11\x80\x03"
        reply = self.server.imported()
        self.say(reply[:cut])
        self.say(reply[cut:])
        while not self.driver.connected(1):
            for command in (commands := self.received()):
                answer = self.server.ret(command, self.server.descriptor(command))
                self.say(answer[:cut])
                self.say(answer[cut:])
            assert commands or self.driver.connected(1) or self.hosted.serve(PATIENCE_MS)
        self.slot = self.driver.bring_up(1)
        assert self.driver.configure(self.slot, ENDPOINTS).code is Completion.SUCCESS
        self.there = True

    @precondition(lambda self: not self.there)
    @rule(rubbish=st.binary(min_size=8, max_size=400))
    def it_is_no_server(self, rubbish: bytes) -> None:
        """Whatever answers there, nothing appears."""
        self.hosted.change(self.word, make)
        with self.listener.accept()[0] as peer:
            self.hosted.settle()
            peer.sendall(b"\xff" + rubbish)
        self.hosted.until(lambda: not self.hosted.gate.descriptors(1))
        assert not self.driver.connected(1)
        assert "not plugged in: USB/IP device 1-1.4" in self.said[-1]

    @precondition(lambda self: self.there and len(self.buffers) < len(ENDPOINTS))
    @rule(number=st.sampled_from([IN, OUT]), length=LENGTHS)
    def the_guest_asks(self, number: int, length: int) -> None:
        """A transfer, which the server is told of at once."""
        if number in self.buffers:
            (number,) = ENDPOINTS.keys() - self.buffers.keys()
        self.buffers[number] = self.driver.queue(self.slot, number, length), length
        self.commands[number] = self.asked()
        assert self.commands[number].length == length

    def waiting(self, number: int) -> int:
        """A transfer that the server has not answered: this one, if it can be chosen."""
        return number if number in self.commands else next(iter(self.commands))

    @precondition(lambda self: self.there and self.commands and not self.left)
    @rule(number=st.sampled_from([IN, OUT]), missing=st.integers(0, 700), hangs=st.booleans(), cut=st.integers(1, 100))
    def the_server_answers(self, number: int, missing: int, hangs: bool, cut: int) -> None:
        """With all or less, at once or after a long time in the middle of the answer."""
        number = self.waiting(number)
        _, length = self.buffers[number]
        actual = max(0, length - missing)
        data = bytes(range(1, 250)) * 13
        self.answer = data[:actual], length - actual
        reply = self.server.ret(self.commands[number], data[:actual] if number == IN else b"", actual=actual)
        self.ending = number
        self.left = reply[cut:] if hangs else b""
        self.say(reply[:cut] if hangs else reply)
        if not self.left:
            self.ended()
        else:
            assert self.driver.transfer_events(self.slot, number) == []

    @precondition(lambda self: self.there and self.left)
    @rule()
    def the_server_goes_on(self) -> None:
        """The rest of an answer."""
        rest, self.left = self.left, b""
        self.say(rest)
        self.ended()

    def event(self, number: int) -> tuple[Completion, int]:
        """The end of a transfer, and there is one only."""
        found: list[tuple[Completion, int]] = []

        def ended() -> bool:
            found.extend(self.driver.transfer_events(self.slot, number))
            return bool(found)

        self.hosted.until(ended)
        (event,) = found
        return event

    def ended(self) -> None:
        """The guest has got what the server has said."""
        if self.ending not in self.commands:
            return
        data, left = self.answer
        code, residue = self.event(self.ending)
        del self.commands[self.ending]
        place, _ = self.buffers.pop(self.ending)
        if self.ending == IN:
            assert (code, residue) == (Completion.SHORT_PACKET if left else Completion.SUCCESS, left)
            assert self.driver.read(place, len(data)) == data
        else:
            # A device that takes less than it is given has failed.
            assert code is (Completion.TRANSACTION_ERROR if left else Completion.SUCCESS)
            if left:
                self.driver.restart(self.slot, self.ending)

    @precondition(lambda self: self.there and self.commands and not self.left)
    @rule(number=st.sampled_from([IN, OUT]), error=st.sampled_from(sorted(FAILURES)))
    def the_device_fails(self, number: int, error: int) -> None:
        """As the server says."""
        number = self.waiting(number)
        self.say(self.server.ret(self.commands.pop(number), status=-error))
        del self.buffers[number]
        code, _ = self.event(number)
        assert code is FAILURES[error]
        self.driver.restart(self.slot, number)

    @precondition(lambda self: self.there and self.commands and not self.left)
    @rule(number=st.sampled_from([IN, OUT]), crossing=st.booleans())
    def the_guest_withdraws(self, number: int, crossing: bool) -> None:
        """What it had asked for; perhaps the answer is on its way."""
        number = self.waiting(number)
        self.driver.withdraw(self.slot, number)
        del self.buffers[number]
        unlink = self.asked()
        victim = self.commands.pop(number)
        assert unlink.command == 2
        if crossing:
            self.say(self.server.ret(victim, b"", actual=0))
        self.say(self.server.ret_unlink(unlink, 0 if crossing else -errno.ECONNRESET))
        assert all(code is Completion.STOPPED for code, _ in self.driver.transfer_events(self.slot, number))

    @precondition(lambda self: self.there and self.commands and not self.left)
    @rule(number=st.sampled_from([IN, OUT]), more=st.integers(1, 1 << 30), hangs_up=st.booleans())
    def the_server_lies_about_a_length(self, number: int, more: int, hangs_up: bool) -> None:
        """More than was asked for."""
        number = self.waiting(number)
        length = self.buffers[number][1] + more
        self.say(self.server.ret(self.commands[number], b"?" * min(length, 5000), actual=length))
        if hangs_up:
            self.peer.close()
        self.gone()

    @precondition(lambda self: self.there and self.commands and not self.left)
    @rule(kind=st.integers(0, 1 << 20), number=st.integers(1 << 20, (1 << 32) - 1), rubbish=st.binary(max_size=200))
    def the_server_talks_rubbish(self, kind: int, number: int, rubbish: bytes) -> None:
        """An answer to nothing, or no answer at all."""
        self.say(HEAD.pack(kind, number, 0, 0, 0, 0, 0, 0, 0, 0) + rubbish)
        self.gone()

    @precondition(lambda self: self.there and self.commands)
    @rule()
    def the_server_dies(self) -> None:
        """Perhaps in the middle of an answer."""
        self.peer.close()
        self.gone()

    def gone(self) -> None:
        """The device is pulled out: what waited fails, and it is said why."""
        self.hosted.until(lambda: not self.driver.connected(1))
        self.losses += 1
        if SILENCE in self.driver.context.timers:
            self.driver.expire(SILENCE)
        self.hosted.settle()
        events = [event for event in self.driver.events() if event.type is TrbType.TRANSFER_EVENT]
        assert {event.endpoint: event.code for event in events} == dict.fromkeys(
            self.buffers, Completion.TRANSACTION_ERROR
        )
        assert self.driver.command(TrbType.DISABLE_SLOT, 0, self.slot << 24).code is Completion.SUCCESS
        assert sum(": unplugged: USB/IP device 1-1.4 at " in line for line in self.said) == self.losses
        self.there = False
        self.buffers, self.commands, self.left = {}, {}, b""
        self.peer.close()

    def teardown(self) -> None:
        """A device that is whole works, and a replay needs no server."""
        with self.stack:
            if not hasattr(self, "hosted"):
                return
            if self.left:
                self.the_server_goes_on()
            if not self.there:
                self.it_is_plugged_in(48)
            while self.commands:
                self.the_server_answers(IN, 0, False, 1)
            self.the_guest_asks(IN, 64)
            self.the_server_answers(IN, 0, False, 1)
            self.hosted.close()
            assert self.hosted.replay(Xhci(), make("none")).refused == 0


TestServers = Servers.TestCase
TestServers.settings = settings(max_examples=30, stateful_step_count=16, deadline=None)
