"""Cables without connections: UDP, groups, unix datagrams and the hub."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from devices.backends import create_backend
from devices.backends.net.frames import pack
from devices.backends.net.hub import KEPT_MESSAGES
from devices.backends.place import RUN_DIRECTORY
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop
from tests.harness.net import DEADLINE_S, frames_of, sized, until_frames
from tests.harness.net_namespace import run_alone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 1 << 17


class Opened:
    """Cards opened by a test, closed after it."""

    def __init__(self) -> None:
        self.loops: list[HostLoop] = []

    def __call__(self, word: str, name: str = "nic0") -> HostLoop:
        self.loops.append(HostLoop(create_backend("net", word, name), ROOM))
        return self.loops[-1].open()

    def close(self) -> None:
        """Close all, twice."""
        for loop in self.loops * 2:
            loop.backend.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    all_opened = Opened()
    yield all_opened
    all_opened.close()


def udp() -> socket.socket:
    """A socket at a free port of the loopback."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    peer.settimeout(DEADLINE_S)
    return peer


def test_one_frame_is_one_datagram(opened: Opened) -> None:
    with udp() as peer, udp() as chosen:
        port = chosen.getsockname()[1]
        chosen.close()
        remote = peer.getsockname()[1]
        loop = opened(f"dgram,local.type=inet,local.host=127.0.0.1,local.port={port},"
                      f"remote.type=inet,remote.host=127.0.0.1,remote.port={remote}")  # fmt: skip
        assert loop.kinds() == [HostEvent.OPENED]
        frames = [sized(1, 60), sized(2, 1514), b""]
        assert loop.backend.write(pack(frames)).accepted == len(pack(frames))
        assert [peer.recv(9999) for _ in frames] == frames
        for frame in frames:
            peer.sendto(frame, ("127.0.0.1", port))
        loop.until(lambda: len(frames_of(loop)) == 3)
        assert frames_of(loop) == frames


def test_datagrams_that_nobody_wants_are_lost(opened: Opened) -> None:
    with udp() as unused:
        remote = unused.getsockname()[1]
    loop = opened(f"dgram,local.port=0,remote.port={remote}")
    for _ in range(10):
        assert loop.backend.write(pack([b"x" * 60])) == BackendResult(62)
        loop.serve()
    assert loop.backend.write(pack([b"x" * 65534])) == BackendResult(65536)
    assert loop.kinds() == [HostEvent.OPENED]


def test_many_datagrams_are_read_at_one_wake_up(opened: Opened, tmp_path: Path) -> None:
    loop = opened(f"dgram,local.path={tmp_path}/a,remote.path={tmp_path}/b")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 100:
                peer.sendto(sized(sent), f"{tmp_path}/a")
                sent += 1
        assert sent > 1
        assert loop.serve()
        assert frames_of(loop) == [sized(number) for number in range(min(sent, 64))]
        assert loop.kinds().count(HostEvent.DATA) == 1


def test_unix_datagrams_wait_for_a_slow_receiver_and_find_its_successor(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(BackendError, match=r"nic0: unix:.*a: Address already in use"):
        opened(f"dgram,local.path={tmp_path}/a,remote.path={tmp_path}/b")
    (tmp_path / "a").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(f"{tmp_path}/a")
    loop = opened(f"dgram,local.path={tmp_path}/a,remote.path={tmp_path}/b")
    assert loop.backend.write(pack([b"nobody"])) == BackendResult(8)
    for turn in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(f"{tmp_path}/b")
            peer.settimeout(DEADLINE_S)
            sent = 0
            while loop.backend.write(pack([sized(sent), sized(sent + 1)])).accepted == 2 * 66:
                sent += 2
                assert sent < 10_000, "nothing is ever full"
            assert not loop.serve(), "it says that there is room"
            assert peer.recv(99) == sized(0)
            while loop.kinds().count(HostEvent.WRITABLE) == turn:
                peer.recv(99)
                loop.serve()
        (tmp_path / "b").unlink()
    loop.backend.close()
    assert not (tmp_path / "a").exists()


def group_without_own_frames() -> None:
    """Three cards in a group: two hear the third, which does not hear itself."""
    opened = Opened()
    word = "dgram,local.type=inet,local.host=127.0.0.1,remote.type=inet,remote.host=230.0.0.1,remote.port=4711"
    loops = [opened(word, f"nic{number}") for number in range(3)]
    for number, loop in enumerate(loops):
        assert loop.backend.write(pack([sized(number)])).accepted == 66
    for number, loop in enumerate(loops):
        others = [sized(other) for other in range(3) if other != number]
        until_frames(loop, 2)
        while loop.serve():
            pass
        assert sorted(frames_of(loop)) == others
    opened.close()


def test_a_group_hears_everybody_but_oneself() -> None:
    run_alone(group_without_own_frames)


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUN_DIRECTORY, str(tmp_path))
    return tmp_path


def test_what_one_card_sends_to_a_hub_all_the_others_get(opened: Opened, run_directory: Path) -> None:
    loops = [opened("hub,id=3", f"nic{number}") for number in range(3)]
    other = opened("hub,id=4", "nic9")
    for number, loop in enumerate(loops):
        frames = [sized(number), sized(number, 1514)]
        assert loop.backend.write(pack(frames)).accepted == len(pack(frames))
    for number, loop in enumerate(loops):
        until_frames(loop, 4)
        senders = {int.from_bytes(frame[:4], "big") for frame in frames_of(loop)}
        assert senders == {0, 1, 2} - {number}
    assert not other.serve()
    assert (run_directory / "hub-3").stat().st_mode & 0o777 == 0o700
    opened.close()
    assert list((run_directory / "hub-3").iterdir()) == []


def test_cards_come_to_a_hub_and_leave_it(opened: Opened, run_directory: Path) -> None:
    first = opened("hub", "nic0")
    assert first.backend.write(pack([b"alone"])).accepted == 7
    for number in range(1, 4):
        second = opened("hub", "nic1")
        assert first.backend.write(pack([sized(number)])).accepted == 66
        assert until_frames(second, 1) == [sized(number)]
        second.backend.close()
        assert first.backend.write(pack([sized(number)])).accepted == 66


def test_a_card_that_has_died_is_cleared_away(opened: Opened, run_directory: Path) -> None:
    loop = opened("hub", "nic0")
    left = run_directory / "hub-0" / "nic1.1"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(left))
        assert loop.backend.write(pack([b"x"])).accepted == 3
        assert dead.recv(99) == pack([b"x"])
    for _ in range(2):
        assert loop.backend.write(pack([b"x"])).accepted == 3
    assert not left.exists()


def test_what_is_no_card_s_in_the_directory_of_a_hub_stays_there(opened: Opened, tmp_path: Path) -> None:
    place = tmp_path / "hub"
    (place / "folder.7").mkdir(parents=True)
    for name in ("thesis.txt", "nic1.12"):
        (place / name).write_text(name)
    (place / "link.3").symlink_to("thesis.txt")
    for name in ("socket", "nic2.9"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(place / name))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(place / "server.5"))
        server.listen()
        loop = opened(f"hub,path={place}", "nic0")
        for _ in range(3):
            assert loop.backend.write(pack([b"x"])).accepted == 3
        left = {path.name for path in place.iterdir()} - {f"nic0.{os.getpid()}"}
    # A card's that has died, nic2.9, is gone.
    assert left == {"folder.7", "thesis.txt", "nic1.12", "link.3", "server.5", "socket"}


def test_a_card_that_sleeps_holds_up_no_other(
    opened: Opened, run_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop, awake, asleep = (opened("hub", f"nic{number}") for number in range(3))
    count = 3 * KEPT_MESSAGES
    for number in range(count):
        assert loop.backend.write(pack([sized(number, 1514)])).accepted == 1516
        until_frames(awake, number + 1)
    assert frames_of(awake) == [sized(number, 1514) for number in range(count)]
    assert len(caplog.messages) <= 1
    got = 0
    while asleep.serve() or loop.serve():
        got = len(frames_of(asleep))
    assert KEPT_MESSAGES < got <= count
    assert frames_of(asleep) == [sized(number, 1514) for number in range(got)]


def test_a_hub_of_several_machines_is_a_directory(opened: Opened, tmp_path: Path) -> None:
    place = tmp_path / ("x" * 120)
    loops = [opened(f"hub,path={place}", f"nic{number}") for number in range(2)]
    assert loops[0].backend.write(pack([b"hello"])).accepted == 7
    loops[1].until(lambda: frames_of(loops[1]) == [b"hello"])
    with pytest.raises(BackendError, match=r"nic0: hub .*none/hub: No such file"):
        opened(f"hub,path={tmp_path}/none/hub")


def test_without_a_running_machine_there_is_no_hub_of_its_own(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_DIRECTORY, raising=False)
    with pytest.raises(BackendError, match=r"nic0: .*DEJAVM_RUN_DIRECTORY is not set"):
        opened("hub,id=0")
