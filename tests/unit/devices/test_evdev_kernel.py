"""The evdev backend on a path of the host's: events through a FIFO as the kernel writes them, ioctls answered here."""

from __future__ import annotations

import errno
import os
import struct
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.input import kernel
from devices.backends.input.kernel import INPUT_EVENT
from devices.input.model import Input
from machine.errors import BackendError
from machine.input_events import (
    ABS_MAX,
    ABS_X,
    EV_ABS,
    EV_KEY,
    EV_LED,
    EV_SYN,
    SYN,
    SYN_DROPPED,
    Event,
    pack_events,
    unpack_events,
)
from tests.harness.hosted import Hosted
from tests.harness.said import listening
from tests.harness.virtio_driver import Driver
from tests.unit.devices.heard import ROOM, A, B, Heard, down, up

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIOCGVERSION, EVIOCGRAB, EVIOCGKEY, EVIOCGABS_X = 0x8004_4501, 0x4004_4590, 0x8060_4518, 0x8018_4540
"""include/uapi/linux/input.h, on machines whose ioctls have their size in bits 29:16."""


@dataclass
class Kernel:
    """What answers a device's ioctls."""

    held: tuple[int, ...] = ()
    taken: bool = False
    """Somebody else has grabbed it."""
    grabs: list[object] = field(default_factory=list)

    def ioctl(self, descriptor: int, number: int, argument: bytes | int) -> bytes | int:
        """fcntl.ioctl."""
        match number:
            case 0x8004_4501:
                return struct.pack("@i", 0x010001)
            case 0x4004_4590 if not self.taken:
                self.grabs.append(argument)
                return 0
            case 0x4004_4590:
                raise OSError(errno.EBUSY, "Device or resource busy")
            case 0x8060_4518:
                return sum(1 << code for code in self.held).to_bytes(96, "little")
            case 0x8018_4540:
                return struct.pack("@6i", 0, -100, 100, 0, 0, 0)
            case _:
                raise OSError(errno.EINVAL, "Invalid argument")


class Hands:
    """A device of the host's at a path, and whoever uses it."""

    def __init__(self, directory: str) -> None:
        self.path = Path(directory) / "event3"
        os.mkfifo(self.path)
        self.kernel = Kernel()
        # Its other end, so that the backend's own does not keep it open when this one has gone.
        self.writing = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def happen(self, *events: Event) -> None:
        """The kernel has these for whoever reads."""
        os.write(self.writing, b"".join(INPUT_EVENT.pack(17, 4, *event) for event in events))


@contextmanager
def having_hands() -> Iterator[Hands]:
    with tempfile.TemporaryDirectory() as directory:
        hands = Hands(directory)
        with mock.patch("fcntl.ioctl", hands.kernel.ioctl):
            yield hands
        os.close(hands.writing)


@pytest.fixture
def hands() -> Iterator[Hands]:
    with having_hands() as hands:
        yield hands


def test_the_ioctls_are_the_kernels() -> None:
    assert (kernel.EVIOCGVERSION, kernel.EVIOCGRAB) == (EVIOCGVERSION, EVIOCGRAB)
    assert (kernel.EVIOCGKEY, kernel.eviocgabs(ABS_X)) == (EVIOCGKEY, EVIOCGABS_X)


def test_a_device_is_grabbed_its_events_are_the_guests_and_a_replay_needs_no_device(hands: Hands) -> None:
    driver = Driver(Input("tablet"))
    driver.start()
    for _ in range(32):
        driver.queues[0].add(writable=[8])
    hosted = Hosted(driver.cpu, create_backend("input", f"evdev,path={hands.path}", "input0"))
    assert hands.kernel.grabs == [1]
    touch = Event(EV_KEY, 0x110, 1)
    hands.happen(touch, Event(EV_ABS, ABS_X, 0), SYN)
    hands.happen(Event(EV_ABS, ABS_X, 100), SYN, touch._replace(value=0), SYN)
    hosted.settle()
    assert [event for row in driver.queues[0].filled() for event in unpack_events(row)] == [
        *(touch, Event(EV_ABS, ABS_X, ABS_MAX // 2), SYN),
        *(Event(EV_ABS, ABS_X, ABS_MAX), SYN, touch._replace(value=0), SYN),
    ]
    hosted.close()
    hosted.replay(Input("tablet"), create_backend("input", "none", "input0"))


def test_keys_that_the_kernel_had_no_room_for_are_asked_for(hands: Hands) -> None:
    heard = Heard()
    backend = create_backend("input", f"evdev,path={hands.path}", "input0")
    backend.open(heard.submit)
    hands.happen(down(A), SYN)
    serve(backend)
    hands.kernel.held = (B,)
    hands.happen(Event(EV_SYN, SYN_DROPPED, 0), down(A), SYN)
    serve(backend)
    assert heard.groups() == [[down(A)], [up(A), down(B)]]
    backend.close()


def test_lights_are_written_as_the_kernel_reads_them(hands: Hands) -> None:
    backend = create_backend("input", f"evdev,path={hands.path}", "input0")
    backend.open(Heard().submit)
    backend.write(pack_events([Event(EV_LED, 1, 1), SYN]))
    rows = list(INPUT_EVENT.iter_unpack(os.read(hands.writing, 999)))
    assert rows == [(0, 0, EV_LED, 1, 1), (0, 0, 0, 0, 0)]
    backend.close()


def serve(backend: object) -> None:
    """As the shell does when it is readable."""
    for descriptor, reads, _ in backend.descriptors(ROOM):  # type: ignore[attr-defined]
        backend.ready(descriptor, reads, False, ROOM)  # type: ignore[attr-defined]


def test_a_device_that_somebody_else_has_is_named(hands: Hands) -> None:
    hands.kernel.taken = True
    backend = create_backend("input", f"evdev,path={hands.path}", "input0")
    with pytest.raises(BackendError, match=r"^input0: cannot take events of .*event3: somebody else has grabbed it"):
        backend.open(Heard().submit)
    backend.close()
    shared = create_backend("input", f"evdev,path={hands.path},grab=off", "input0")
    shared.open(Heard().submit)
    shared.close()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dev/null", "it is no event device; write /dev/input/eventN"),
        (__file__, "it is no event device"),
        ("/dev/input/event999", "No such file or directory"),
        ("/dev", "Is a directory"),
    ],
)
def test_what_is_no_event_device_is_named(path: str, says: str) -> None:
    backend = create_backend("input", f"evdev,path={path}", "input0")
    with pytest.raises(BackendError, match=f"^input0: cannot take events of {path}: {says}"):
        backend.open(Heard().submit)
    backend.close()


def test_a_device_that_may_not_be_written_is_read_and_one_that_may_not_be_read_is_named(hands: Hands) -> None:
    really, refused = os.open, [os.O_RDWR]

    def opening(path: str, flags: int) -> int:
        if flags & os.O_ACCMODE in refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, flags)

    word = f"evdev,path={hands.path}"
    with mock.patch("os.open", opening):
        backend = create_backend("input", word, "input0")
        backend.open(Heard().submit)
        backend.close()
        refused.append(os.O_RDONLY)
        with pytest.raises(BackendError, match="event3: permission denied; on Debian the group input may read it"):
            create_backend("input", word, "input0").open(Heard().submit)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.builds(
                lambda kind, code, value: INPUT_EVENT.pack(1, 2, kind, code, value),
                st.one_of(st.integers(0, 4), st.integers(0, 0xFFFF)),
                st.one_of(st.sampled_from([0, A, B, 29, 97]), st.integers(0, 0xFFFF)),
                st.one_of(st.integers(-1, 3), st.integers(-(1 << 31), (1 << 31) - 1)),
            ),
            st.just(INPUT_EVENT.pack(1, 2, *SYN)),
            st.binary(max_size=60),
        ),
        max_size=40,
    )
)
def test_whatever_a_device_says_reaches_the_guest_in_whole_groups_and_replays(pieces: list[bytes]) -> None:
    driver = Driver(Input("kbd"))
    with having_hands() as hands, listening() as said:
        driver.start()
        hosted = Hosted(driver.cpu, create_backend("input", f"evdev,path={hands.path}", "input0"))
        for piece in pieces:
            for _ in range(driver.queues[0].free):
                driver.queues[0].add(writable=[8])
            os.write(hands.writing, piece)
            hosted.settle()
        rows = [event for row in driver.queues[0].filled() for event in unpack_events(row)]
        assert not rows or rows[-1] == SYN
        assert all(event.type in (EV_SYN, EV_KEY) for event in rows)
        assert said == []
        hosted.close()
    hosted.replay(Input("kbd"), create_backend("input", "none", "input0"))
