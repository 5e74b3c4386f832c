"""A network card's cable over a stream: peers that come, go, stall, lie and hang up in the middle."""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.net.frames import LARGEST_FRAME, MESSAGE_BYTES, MESSAGE_FRAMES, pack, unpack
from devices.backends.net.framing import LONGEST
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop
from tests.harness.net import DEADLINE_S, framed, frames_of, read_frame, sized, until_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UP, DOWN, DATA, WRITABLE = HostEvent.OPENED, HostEvent.CLOSED, HostEvent.DATA, HostEvent.WRITABLE
ROOM = 1 << 17


@pytest.fixture
def opened() -> Iterator[Callable[[str], HostLoop]]:
    loops: list[HostLoop] = []

    def open_word(word: str) -> HostLoop:
        loop = HostLoop(create_backend("net", word, "nic0"), ROOM)
        loops.append(loop)
        return loop.open()

    yield open_word
    for loop in loops:
        loop.backend.close()
        loop.backend.close()


def server_word(tmp_path: Path, kind: str = "unix") -> str:
    """A server's word."""
    if kind == "inet":
        return "stream,addr.type=inet,addr.host=127.0.0.1,addr.port=0,server=on"
    return f"stream,addr.type=unix,addr.path={tmp_path}/nic,server=on"


def caller(place: Path | int) -> socket.socket:
    """Somebody who calls."""
    peer = socket.socket(socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET)
    peer.settimeout(DEADLINE_S)
    peer.connect(str(place) if isinstance(place, Path) else ("127.0.0.1", place))
    return peer


def joined(loop: HostLoop, place: Path | int) -> socket.socket:
    """Call, and wait until the card knows."""
    peer = caller(place)
    loop.until_kinds(UP, loop.kinds().count(UP) + 1)
    return peer


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_a_server_has_one_peer_after_the_other(
    opened: Callable[[str], HostLoop], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop = opened(server_word(tmp_path, kind))
    (told,) = caplog.messages
    assert told.startswith("nic0: listening on ")
    place = tmp_path / "nic" if kind == "unix" else int(told.rpartition(":")[2])
    assert loop.kinds() == [DOWN]
    assert loop.backend.write(pack([b"lost"])) == BackendResult(6)
    for number in (1, 2):
        with joined(loop, place) as peer:
            peer.sendall(framed(sized(number)) + framed(sized(number, 1514)))
            until_frames(loop, 2 * number)
            assert loop.backend.write(pack([b"one", b"", sized(3, 1514)])).accepted == 2 * 3 + 3 + 1514
            assert [read_frame(peer) for _ in range(3)] == [b"one", b"", sized(3, 1514)]
        loop.until_kinds(DOWN, number + 1)
    assert frames_of(loop) == [sized(1), sized(1, 1514), sized(2), sized(2, 1514)]
    loop.backend.close()
    assert not (tmp_path / "nic").exists()


def test_a_client_is_connected_when_it_is_open(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/nic")
        listener.listen()
        loop = opened(f"stream,addr.type=unix,addr.path={tmp_path}/nic")
        with listener.accept()[0] as peer:
            assert loop.kinds() == [UP]
            peer.sendall(framed(b"hello"))
            loop.until(lambda: frames_of(loop) == [b"hello"])
        loop.until_kinds(DOWN)
        assert loop.backend.descriptors(ROOM) == ()


def test_a_client_calls_again_and_again(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    loop = opened(f"stream,addr.path={tmp_path}/nic,reconnect-ms=5")
    assert loop.kinds() == [DOWN]
    for number in range(3):
        assert loop.serve(5000), "no attempt has failed"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{tmp_path}/nic")
            listener.listen()
            loop.until_kinds(UP, number + 1)
            with listener.accept()[0] as peer:
                peer.sendall(framed(sized(number)))
                until_frames(loop, number + 1)
        (tmp_path / "nic").unlink()
        loop.until_kinds(DOWN, number + 2)
    assert frames_of(loop) == [sized(number) for number in range(3)]


def test_a_client_without_reconnect_needs_somebody_there(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"^nic0: the peer at unix:.*nic: No such file"):
        opened(f"stream,addr.path={tmp_path}/nic")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(BackendError, match=r"^nic0: the peer at 127.0.0.1:.*refused"):
            opened(f"stream,addr.host=127.0.0.1,addr.port={unused.getsockname()[1]}")


def test_a_place_that_is_taken_is_named_and_a_stale_one_is_used(
    opened: Callable[[str], HostLoop], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/nic")
    opened(server_word(tmp_path))
    with pytest.raises(BackendError, match=r"nic0: unix:.*nic: Address already in use"):
        opened(server_word(tmp_path))


def test_half_a_frame_and_then_nothing_holds_up_nobody(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    loop = opened(server_word(tmp_path))
    with joined(loop, tmp_path / "nic") as peer:
        peer.sendall(framed(sized(1)) + framed(sized(2))[:20])
        loop.until(lambda: frames_of(loop) == [sized(1)])
        while loop.serve():
            pass
        assert loop.backend.write(pack([b"still here"])).accepted == 12
        assert read_frame(peer) == b"still here"
        peer.sendall(framed(sized(2))[20:])
        loop.until(lambda: frames_of(loop) == [sized(1), sized(2)])
        peer.sendall(framed(sized(3))[:20])
    loop.until_kinds(DOWN, 2)
    with joined(loop, tmp_path / "nic") as peer:
        peer.sendall(framed(sized(4)))
        loop.until(lambda: frames_of(loop) == [sized(1), sized(2), sized(4)])


def test_a_peer_that_announces_too_much_is_dropped(
    opened: Callable[[str], HostLoop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = opened(server_word(tmp_path))
    caplog.clear()
    with joined(loop, tmp_path / "nic") as peer:
        peer.sendall(struct.pack(">I", LONGEST + 1) + b"what it says it is")
        loop.until_kinds(DOWN, 2)
        assert peer.recv(1) == b""
    assert caplog.messages == [
        f"nic0: the peer at unix:{tmp_path}/nic is gone: it has announced a frame of 65537 bytes"
    ]
    assert DATA not in loop.kinds()


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_what_came_whole_in_front_of_a_lie_is_the_guest_s(
    opened: Callable[[str], HostLoop],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    loop = opened(server_word(tmp_path, kind))
    place = tmp_path / "nic" if kind == "unix" else int(caplog.messages[0].rpartition(":")[2])
    with joined(loop, place) as peer:
        peer.sendall(framed(sized(1)) + framed(sized(2)) + struct.pack(">I", LONGEST + 1))
        loop.until_kinds(DOWN, 2)
    assert frames_of(loop) == [sized(1), sized(2)]
    _, said = caplog.messages
    assert said.endswith(" is gone: it has announced a frame of 65537 bytes")


def test_a_frame_that_fits_no_message_is_dropped_and_the_peer_stays(
    opened: Callable[[str], HostLoop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = opened(server_word(tmp_path))
    caplog.clear()
    with joined(loop, tmp_path / "nic") as peer:
        peer.setblocking(True)
        for size in (LARGEST_FRAME + 1, LONGEST, LARGEST_FRAME, 10):
            for at in range(0, size + 4, 1000):
                peer.sendall(framed(sized(size, size))[at : at + 1000])
                loop.serve()
        loop.until(lambda: len(frames_of(loop)) == 2)
    assert frames_of(loop) == [sized(LARGEST_FRAME, LARGEST_FRAME), sized(10, 10)]
    assert len(caplog.messages) == 1


def test_a_peer_that_only_comes_and_goes_does_not_fill_the_screen(
    opened: Callable[[str], HostLoop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = opened(server_word(tmp_path))
    caplog.clear()
    for number in range(30):
        joined(loop, tmp_path / "nic").close()
        loop.until_kinds(DOWN, number + 2)
    assert len(caplog.messages) == 8


def test_frames_come_in_bounded_messages_and_no_further_than_there_is_room(
    opened: Callable[[str], HostLoop], tmp_path: Path
) -> None:
    loop = opened(server_word(tmp_path))
    frames = [sized(number, 60 + number % 700) for number in range(1000)]
    with joined(loop, tmp_path / "nic") as peer:
        peer.setblocking(False)
        left = b"".join(map(framed, frames))
        held = 0
        while len(frames_of(loop)) < len(frames):
            if left:
                with contextlib.suppress(BlockingIOError):
                    left = left[peer.send(left) :]
            before = len(loop.received)
            loop.room = 5000 - held
            loop.serve()
            held += len(loop.received) - before
            assert held <= 5000
            if held > 4000:
                # The device has handled something, and then has room for all again.
                held = 0
                before = len(loop.received)
                loop.backend.advance(5000)
                held = len(loop.received) - before
                assert held <= 5000
    assert frames_of(loop) == frames


def test_a_message_has_no_more_than_64_frames_and_64_kib(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    loop = opened(server_word(tmp_path))
    frames = [sized(number, 20) for number in range(200)] + [sized(number, 1514) for number in range(90)]
    with joined(loop, tmp_path / "nic") as peer:
        peer.sendall(b"".join(map(framed, frames[:200])))
        loop.until(lambda: len(frames_of(loop)) == 200)
        for first, last in ((200, 245), (245, 290)):
            peer.sendall(b"".join(map(framed, frames[first:last])))
            until_frames(loop, last)
    assert frames_of(loop) == frames
    messages = [data for event, data, _ in loop.events if event is DATA]
    assert max(len(list(unpack(data))) for data in messages) == MESSAGE_FRAMES
    assert max(map(len, messages)) <= MESSAGE_BYTES
    assert len(messages) < 20


def test_a_slow_peer_takes_whole_frames_and_says_when_it_takes_more(
    opened: Callable[[str], HostLoop], tmp_path: Path
) -> None:
    loop = opened(server_word(tmp_path))
    frames = [sized(number, 1514) for number in range(40)]
    with joined(loop, tmp_path / "nic") as peer:
        sent: list[bytes] = []
        while True:
            accepted = loop.backend.write(pack(frames)).accepted
            assert accepted % 1516 == 0
            sent += frames[: accepted // 1516]
            if accepted < 40 * 1516:
                break
            assert len(sent) < 2000, "nothing is ever full"
        assert loop.backend.write(pack(frames)) == BackendResult(0)
        assert WRITABLE not in loop.kinds()
        peer.settimeout(0.1)
        got = b""
        while len(got) < len(sent) * 1518:
            loop.serve()
            got += peer.recv(1 << 16)
        assert got == b"".join(map(framed, sent))
        loop.until_kinds(WRITABLE)
        assert loop.backend.write(pack([b"more"])).accepted == 6
        assert peer.recv(99) == framed(b"more")


@pytest.mark.parametrize("room", [0, ROOM])
def test_a_peer_that_vanishes_while_it_is_slow_frees_the_card(
    opened: Callable[[str], HostLoop], tmp_path: Path, room: int
) -> None:
    loop = opened(server_word(tmp_path))
    peer = joined(loop, tmp_path / "nic")
    frames = pack([sized(number, 1514) for number in range(40)])
    while loop.backend.write(frames).accepted == len(frames):
        pass
    loop.room = room
    peer.close()
    loop.until_kinds(WRITABLE)
    assert loop.backend.write(frames) == BackendResult(len(frames))
    loop.room = ROOM
    loop.until_kinds(DOWN, 2)
    assert loop.kinds().index(WRITABLE) < len(loop.kinds()) - 1


def test_the_plug_can_be_pulled_and_put_back(opened: Callable[[str], HostLoop], tmp_path: Path) -> None:
    word = server_word(tmp_path)
    loop = opened(word)
    with joined(loop, tmp_path / "nic") as peer:
        peer.sendall(framed(b"before"))
        loop.until(lambda: frames_of(loop) == [b"before"])
        assert loop.backend.take_word(f"{word},link=off")
        assert loop.kinds() == [DOWN, UP, DATA, DOWN]
        peer.sendall(framed(b"lost"))
        loop.room = 0
        assert loop.serve(5000)
        loop.room = ROOM
        assert loop.backend.write(pack([b"lost too"])).accepted == 10
        assert loop.backend.take_word(word)
        assert loop.kinds() == [DOWN, UP, DATA, DOWN, UP]
        peer.sendall(framed(b"after"))
        loop.until(lambda: frames_of(loop) == [b"before", b"after"])
        assert loop.backend.write(pack([b"back"])).accepted == 6
        assert read_frame(peer) == b"back"
        assert not loop.backend.take_word("none")
        assert not loop.backend.take_word(word.replace(",server=on", ""))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=80),
            st.binary(max_size=100).map(framed),
            st.integers(0, 2**32 - 1).map(lambda size: struct.pack(">I", size)),
            st.none(),
        ),
        max_size=12,
    ),
    st.integers(0, 3000),
)
def test_no_peer_can_do_more_than_be_dropped(acts: list[bytes | None], room: int) -> None:
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        loop = HostLoop(create_backend("net", f"stream,addr.path={directory}/nic,server=on", "nic0"), room).open()
        stack.callback(loop.backend.close)
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.connect(f"{directory}/nic")
        for act in acts:
            if act is None:
                peer.close()
                peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            # Whoever has been dropped, or has called in vain, is free to go on.
            peer.setblocking(False)
            with contextlib.suppress(OSError):
                peer.connect(f"{directory}/nic")
            with contextlib.suppress(OSError):
                peer.sendall(act or b"")
            loop.serve()
            loop.backend.write(pack([b"from the guest"]))
            loop.backend.advance(room)
        peer.close()
        loop.room = ROOM
        loop.backend.advance(ROOM)
        while loop.serve():
            pass
        assert loop.kinds()[-1] is DOWN
        with caller(Path(directory) / "nic") as late:
            late.sendall(framed(b"all is well"))
            loop.until(lambda: frames_of(loop)[-1:] == [b"all is well"])
