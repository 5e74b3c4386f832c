"""A disk whose image is cut, grows, loses its name or is only read: what the guest's driver sees of it.

The controller, the disk and its backend are the real ones, and so is the file.  At the end a disk that is plugged in
works, and a replay has no image at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from devices.backends import create_backend
from devices.usb.functions import opcodes as o
from devices.usb.functions import sense as f
from devices.usb.model import Xhci
from devices.usb.transfers import SILENCE
from devices.usb.trb import Completion, TrbType
from tests.harness.hosted import Hosted
from tests.harness.said import listening
from tests.harness.usb_disk import BLOCK, IN, OUT, Disk, ten

if TYPE_CHECKING:
    from devices.model import Backend
    from devices.usb.functions.state import StorageState
    from devices.usb.messages import StorageDescription, StorageRequest

BLOCKS = 16
RANGES = st.tuples(st.integers(0, BLOCKS), st.integers(1, 6))
OTHER_SIZES = st.one_of(
    st.integers(0, 2 * BLOCKS).map(lambda blocks: blocks * BLOCK), st.integers(0, 2 * BLOCKS * BLOCK)
)
ENDS = (Completion.SUCCESS, Completion.STALL, Completion.TRANSACTION_ERROR)
"""How a transfer ends whose disk is pulled out: it was done before, it failed, or nobody answers."""


class ImageDisk(Disk):
    """A disk whose image is a file of the host's, behind the real backend."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__()

    def appear(self, description: StorageDescription) -> None:
        """The backend plugs it in."""
        self.hosted = Hosted(self.driver.cpu, make(self.word))

    def serve(self) -> list[StorageRequest]:
        """Wait until the image has done its part."""
        self.hosted.until(lambda: not any(storage.operation for storage in self.storage()))
        return []

    def storage(self) -> tuple[StorageState, ...]:
        """What is in port 1, if anything."""
        return self.driver.model.state.sockets[0].storage


def make(word: str) -> Backend:
    """The backend of the controller."""
    return create_backend("usb", word, "usb0")


class Images(RuleBasedStateMachine):
    """A guest with one disk, and somebody who does things to its image."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.path = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "disk.img"
        self.said = self.stack.enter_context(listening())
        self.here = True
        self.fill = 0

    @initialize(read_only=st.booleans(), delay=st.sampled_from(["", ",delay=0-1ms"]))
    def begin(self, read_only: bool, delay: str) -> None:
        """Plug it in."""
        self.read_only = read_only
        self.path.write_bytes(os.urandom(BLOCKS * BLOCK))
        self.word = f"storage,file={self.path}{',readonly=on' if read_only else ''}{delay}"
        self.disk = ImageDisk(self.word)
        self.stack.callback(self.disk.hosted.close)

    def sense(self, expected: f.Sense, error: int = 0) -> None:
        """The guest is told what went wrong, and the user too if it was the host."""
        assert self.disk.sense() == expected
        assert not error or any(os.strerror(error) in line for line in self.said)

    @precondition(lambda self: self.here)
    @rule(where=RANGES)
    def the_guest_reads(self, where: tuple[int, int]) -> None:
        """What is there, whole, or an error."""
        first, count = where
        there = self.path.read_bytes()
        data, _, status = self.disk.command(ten(o.READ_10, first, count), count * BLOCK)
        if first + count > BLOCKS:
            assert (data, status) == (b"", 1)
            self.sense(f.OUT_OF_RANGE)
        elif (first + count) * BLOCK > len(there):
            assert status == 1
            self.sense(f.READ_ERROR, errno.EIO)
        else:
            assert (data, status) == (there[first * BLOCK : (first + count) * BLOCK], 0)

    @precondition(lambda self: self.here)
    @rule(where=RANGES)
    def the_guest_writes(self, where: tuple[int, int]) -> None:
        """It is in the file afterwards, or nothing is."""
        first, count = where
        before = self.path.read_bytes()
        self.fill = self.fill % 255 + 1
        data = bytes((self.fill,)) * (count * BLOCK)
        _, _, status = self.disk.command(ten(o.WRITE_10, first, count), data=data)
        after = self.path.read_bytes()
        if not status:
            assert not self.read_only
            assert after == before[: first * BLOCK] + data + before[(first + count) * BLOCK :]
            return
        assert after == before
        if first + count > BLOCKS:
            self.sense(f.OUT_OF_RANGE)
        elif self.read_only:
            self.sense(f.WRITE_PROTECTED)
        else:
            assert (first + count) * BLOCK > len(before)
            self.sense(f.WRITE_ERROR, errno.EIO)

    @precondition(lambda self: self.here)
    @rule()
    def the_guest_flushes(self) -> None:
        """However long the image is."""
        assert self.disk.command(bytes((o.SYNCHRONIZE_CACHE_10,)) + bytes(9))[2] == 0

    @precondition(lambda self: self.here)
    @rule(size=OTHER_SIZES)
    def it_becomes_another_size(self, size: int) -> None:
        """Shorter than it says, or longer."""
        os.truncate(self.path, size)

    @precondition(lambda self: self.here)
    @rule()
    def it_is_renamed(self) -> None:
        """It is there still, under another name and back."""
        away = self.path.with_suffix(".away")
        self.path.rename(away)
        self.disk.hosted.settle()
        away.rename(self.path)
        self.disk.hosted.settle()
        assert self.disk.driver.connected(1)

    @precondition(lambda self: self.here)
    @rule(replaced=st.booleans(), under_way=st.sampled_from([0, IN, OUT]))
    def it_vanishes(self, replaced: bool, under_way: int) -> None:
        """Deleted, or another file takes its name; perhaps in the middle of a transfer."""
        disk = self.disk
        if under_way:
            disk.send_command(ten(o.READ_10 if under_way == IN else o.WRITE_10, 0, 4), 4 * BLOCK, under_way == IN)
            disk.queue(under_way, 4 * BLOCK)
        if replaced:
            other = self.path.with_suffix(".new")
            other.write_bytes(bytes(BLOCK))
            other.replace(self.path)
        else:
            self.path.unlink()
        disk.hosted.until(lambda: not disk.storage())
        assert not disk.driver.connected(1)
        if SILENCE in disk.driver.context.timers:
            disk.driver.expire(SILENCE)
        ends = disk.driver.transfer_events(disk.slot, under_way)
        assert [code in ENDS for code, _ in ends] == [True] * bool(under_way)
        assert disk.driver.command(TrbType.DISABLE_SLOT, 0, disk.slot << 24).code is Completion.SUCCESS
        assert any(" is unplugged: it has " in line for line in self.said)
        self.here = False

    @precondition(lambda self: not self.here)
    @rule()
    def it_is_plugged_in_again(self) -> None:
        """Another image by the same name."""
        self.path.write_bytes(os.urandom(BLOCKS * BLOCK))
        self.disk.hosted.change(self.word, make)
        self.disk.configure()
        self.here = True

    def teardown(self) -> None:
        """A disk that is whole works, and a replay needs none."""
        with self.stack:
            if not hasattr(self, "disk"):
                return
            if not self.here:
                self.it_is_plugged_in_again()
            os.truncate(self.path, BLOCKS * BLOCK)
            self.the_guest_reads((0, 6))
            self.the_guest_writes((2, 3))
            self.disk.hosted.close()
            assert self.disk.hosted.replay(Xhci(), create_backend("usb", "none", "usb0")).refused == 0


TestImages = Images.TestCase
TestImages.settings = settings(max_examples=30, stateful_step_count=14, deadline=None)
