"""A guest's card and a peer that stalls, lies, sends halves and dies: real sockets, a process in passt's place.

What is checked behind each step is what the guest sees: the frames, whole and in order, and its link.  At the end the
card works with the next peer, and a replay without any peer is the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from devices.backends import create_backend
from devices.backends.net import user
from devices.backends.net.frames import LARGEST_FRAME
from devices.backends.net.framing import LONGEST
from devices.backends.net.peer import COMPLAINTS
from devices.nic.model import Nic
from devices.virtio import registers as r
from machine.message import HostEvent
from tests.harness.host_loop import PATIENCE_MS
from tests.harness.hosted import Hosted
from tests.harness.net import DEADLINE_S, framed
from tests.harness.nic_driver import MAC, Card
from tests.harness.said import listening

LINK = 6
"""Offset of the link's state in the configuration."""
SIZES = st.one_of(st.sampled_from([0, 13, 14, 60, 1514, 1518, 1519, 9000, 65534, 65535, LONGEST]), st.integers(0, 1600))
FRAMES = st.lists(SIZES, min_size=1, max_size=6)
BUFFERS, QUEUE = 64, 256
HUNG_UP = "it has hung up"


def usable(size: int) -> bool:
    """Whether a frame of that many bytes is one for a guest with an MTU of 1500."""
    return 14 <= size <= 1518


class Peers(RuleBasedStateMachine):
    """A card, its guest, and one peer at a time; `join` says how one comes."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.said = self.stack.enter_context(listening())
        self.card = Card()
        self.card.offer_buffers(BUFFERS)
        self.peer: socket.socket | None = None
        self.starved = False
        self.unfinished = b""
        """What is left to be sent of the frame under way."""
        self.whole: list[bytes] = []
        """Frames that peers have sent whole and that are the guest's."""
        self.got: list[bytes] = []
        self.outgoing = b""
        """What the guest has sent while this peer was there."""
        self.heard = b""
        self.losses: list[str] = []
        self.too_long = False
        """A peer has sent a frame that no message can carry, which is said once."""
        self.number = 0

    def host(self, word: str) -> None:
        """Put a cable behind the card."""
        self.hosted = Hosted(self.card.cpu, create_backend("net", word, "nic0"))
        self.stack.callback(self.hosted.close)

    def join(self) -> socket.socket:
        """The next peer."""
        raise NotImplementedError

    def link(self) -> bool:
        """What the guest sees of its cable."""
        return bool(self.card.load(r.CONFIG + LINK, 2) & 1)

    def look(self) -> None:
        """Let everything come to rest, and look at what the guest has."""
        self.hosted.until(self.at_rest)
        assert self.got == self.whole[: len(self.got)]
        assert self.told() == self.losses[:COMPLAINTS]
        complaints = [line for line in self.said if " listening on " not in line]
        assert len(complaints) <= len(self.told()) + self.too_long

    def at_rest(self) -> bool:
        """Whether the guest has all frames that it has buffers for, and sees its link as it is."""
        self.card.flush()
        self.card.interrupted()
        self.got += self.card.got()
        if not self.starved:
            self.top_up()
        return self.link() == (self.peer is not None) and (self.starved or len(self.got) >= len(self.whole))

    def told(self) -> list[str]:
        """Why peers have gone, as the diagnostics say."""
        return [line.rpartition(" is gone: ")[2] for line in self.said if " is gone: " in line]

    def next_frame(self, size: int) -> bytes:
        """A frame to be told from others."""
        self.number += 1
        return (self.number.to_bytes(4, "big") * (size // 4 + 1))[:size]

    def lose(self, why: str) -> None:
        """The peer has gone, and it is said why."""
        assert self.peer is not None
        peer, self.peer = self.peer, None
        self.losses.append(why + ("; the next ones are not said" if len(self.losses) + 1 == COMPLAINTS else ""))
        self.unfinished = self.outgoing = self.heard = b""
        self.look_alone()
        peer.close()

    def look_alone(self) -> None:
        """Nobody is there."""
        self.look()

    @precondition(lambda self: self.peer is None)
    @rule()
    def somebody_comes(self) -> None:
        """A peer."""
        self.peer = self.stack.enter_context(self.join())
        self.peer.setblocking(False)
        self.look()

    @precondition(lambda self: self.peer is not None and not self.unfinished)
    @rule(sizes=FRAMES, cut=st.integers(0, 100))
    def frames_come(self, sizes: list[int], cut: int) -> None:
        """Whole frames of any size, and perhaps the beginning of one: it then hangs."""
        assert self.peer is not None
        frames = [self.next_frame(size) for size in sizes]
        last = framed(self.next_frame(200)) if cut else b""
        self.too_long |= max(sizes) > LARGEST_FRAME
        self.whole += [frame for frame in frames if usable(len(frame))]
        self.say(b"".join(map(framed, frames)) + last[:cut])
        self.unfinished = last[cut:]
        if last:
            self.number_of_last = last[4:]
        self.look()

    @precondition(lambda self: self.peer is not None and self.unfinished)
    @rule(size=st.integers(1, 300))
    def more_of_it_comes(self, size: int) -> None:
        """The frame under way goes on, by some bytes."""
        self.say(self.unfinished[:size])
        self.unfinished = self.unfinished[size:]
        if not self.unfinished:
            self.whole.append(self.number_of_last)
        self.look()

    @precondition(lambda self: self.peer is not None and not self.unfinished)
    @rule(size=st.integers(LONGEST + 1, (1 << 32) - 1), rubbish=st.binary(max_size=50))
    def a_length_is_a_lie(self, size: int, rubbish: bytes) -> None:
        """It is dropped at once."""
        self.say(struct.pack(">I", size) + rubbish)
        self.lose(f"it has announced a frame of {size} bytes")

    @precondition(lambda self: self.peer is not None)
    @rule()
    def it_dies(self) -> None:
        """Perhaps in the middle of a frame."""
        assert self.peer is not None
        # What a peer leaves unread makes the kernel say something else.
        self.the_peer_reads()
        why = f"{HUNG_UP} in the middle of a frame" if self.unfinished and self.tells_halves() else HUNG_UP
        self.peer.close()
        self.lose(why)

    def tells_halves(self) -> bool:
        """Whether half a frame is noticed when its sender has gone."""
        return True

    @rule(sizes=st.lists(st.sampled_from([13, 14, 60, 1514, 1518, 1519]), min_size=1, max_size=6))
    def the_guest_sends(self, sizes: list[int]) -> None:
        """Into the wire, or into nothing."""
        self.card.tx.returned()
        if self.card.tx.free < len(sizes):
            return
        frames = [self.next_frame(size) for size in sizes]
        self.card.send(*frames)
        self.outgoing += b"".join(framed(frame) for frame in frames if usable(len(frame)))
        if self.peer is None:
            self.outgoing = b""
        self.look()

    @precondition(lambda self: self.peer is not None)
    @rule()
    def the_peer_reads(self) -> None:
        """All that the guest has sent it, whole and in order."""
        assert self.peer is not None
        deadline = time.monotonic() + DEADLINE_S
        while len(self.heard) < len(self.outgoing):
            try:
                self.heard += self.peer.recv(1 << 16)
            except BlockingIOError:
                # It may be at the backend still, or on its way.
                assert time.monotonic() < deadline
                self.hosted.serve(1)
        assert self.heard == self.outgoing
        self.look()

    @rule()
    def the_guest_has_no_buffers_for_a_while(self) -> None:
        """What comes waits at the card."""
        self.starved = not self.starved
        if self.starved:
            return
        self.look()

    def top_up(self) -> None:
        """Buffers for what comes next, and for what waits."""
        self.card.offer_buffers(BUFFERS - (QUEUE - self.card.rx.free))
        self.card.rx.kick()
        self.card.flush()

    def say(self, data: bytes) -> None:
        """The peer sends; the card is served as long as it takes."""
        assert self.peer is not None
        left = memoryview(data)
        while left:
            try:
                left = left[self.peer.send(left, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                assert self.hosted.serve(PATIENCE_MS)
            except OSError:
                break

    def teardown(self) -> None:
        """The card works with a peer that keeps to the rules, and all of it is replayed without one."""
        with self.stack:
            if not hasattr(self, "hosted"):
                return
            if self.starved:
                self.the_guest_has_no_buffers_for_a_while()
            if self.unfinished:
                self.it_dies()
            if self.peer is None:
                self.somebody_comes()
            self.frames_come([60], 0)
            self.the_guest_sends([60])
            self.the_peer_reads()
            assert self.peer is not None
            self.peer.close()
            gate = self.hosted.replay(Nic(MAC), create_backend("net", f"pcap:{self.directory}/packets", "nic0"))
            assert gate.refused == 0


class StreamPeers(Peers):
    """Peers of a stream server."""

    @initialize(unix=st.booleans())
    def begin(self, unix: bool) -> None:
        """Listen."""
        with mock.patch.object(sys, "stderr"):
            if unix:
                self.host(f"stream,addr.type=unix,addr.path={self.directory}/nic,server=on")
            else:
                self.host("stream,addr.type=inet,addr.host=127.0.0.1,addr.port=0,server=on")
        self.unix = unix
        self.look()

    def join(self) -> socket.socket:
        """Call."""
        ((listener, _, _),) = self.hosted.gate.backend.descriptors(1)
        with socket.socket(fileno=os.dup(listener)) as server:
            place = server.getsockname()
        peer = socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET)
        peer.settimeout(DEADLINE_S)
        peer.connect(place)
        if not self.unix:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hosted.until(lambda: self.card.nic.state.link)
        return peer

    def tells_halves(self) -> bool:
        """Over TCP what came is taken at once."""
        return self.unix


PROGRAM = """#!{python} -SE
import os, socket, sys
if os.path.exists({directory!r} + "/broken"):
    os.unlink({directory!r} + "/broken")
    sys.exit("cannot start today")
with socket.socket(socket.AF_UNIX) as test, socket.socket(fileno=int(sys.argv[2])) as guest:
    test.connect({directory!r} + "/test")
    socket.send_fds(test, [b"."], [guest.fileno()])
"""
"""What stands in passt's place: it gives the guest's socket to the test and goes into the background."""


class PassTs(Peers):
    """Processes in passt's place; each that dies is followed by another."""

    @initialize()
    def begin(self) -> None:
        """The first one."""
        program = self.directory / "passt"
        program.write_text(PROGRAM.format(python=sys.executable, directory=str(self.directory)))
        program.chmod(0o755)
        self.listener = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        self.listener.bind(str(self.directory / "test"))
        self.listener.listen()
        self.listener.settimeout(DEADLINE_S)
        self.stack.enter_context(mock.patch.object(shutil, "which", lambda name: str(self.directory / name)))
        self.stack.enter_context(mock.patch.object(user, "DELAYS_S", (0.0,)))
        self.host("user")
        self.somebody_comes()

    def join(self) -> socket.socket:
        """Whom the backend has started."""
        self.hosted.until(lambda: self.card.nic.state.link)
        with self.listener.accept()[0] as program:
            _, (descriptor,), _, _ = socket.recv_fds(program, 1, 1)
        return socket.socket(fileno=descriptor)

    @rule()
    def the_next_one_does_not_start(self) -> None:
        """The one behind it does."""
        (self.directory / "broken").touch()

    def look_alone(self) -> None:
        """It is not seen how long nobody is there: the next one is on its way."""
        self.hosted.until(lambda: self.hosted.heard().count((HostEvent.CLOSED, b"")) == len(self.losses))
        self.somebody_comes()


TestStreamPeers = StreamPeers.TestCase
TestStreamPeers.settings = settings(max_examples=40, stateful_step_count=16, deadline=None)
TestPassTs = PassTs.TestCase
TestPassTs.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
