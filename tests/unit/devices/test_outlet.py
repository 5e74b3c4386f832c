"""Bytes go out exactly once, wherever the process that writes them ends."""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.outlet import PIECE_BYTES, Outlet


class Died(BaseException):
    """The process ends here."""


class MortalEstate:
    """An estate whose owner dies when a word has been kept so often; descriptors outlive it."""

    def __init__(self) -> None:
        self.steps = -1
        self.word = 0
        self.output = 1
        self.peeked = self.last_input = 0
        self.last_link = None
        self.untouched = False
        self._left: tuple[int, ...] = ()

    @property
    def stage(self) -> int:
        return self.word

    @stage.setter
    def stage(self, value: int) -> None:
        self.step()
        self.word = value
        self.step()

    def step(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise Died

    def leave(self, _name: str, *descriptors: int) -> None:
        self._left = tuple(os.dup(each) for each in descriptors)

    def find(self, _name: str) -> tuple[int, ...]:
        return tuple(os.dup(each) for each in self._left)

    def take_out(self, _name: str) -> None:
        for each in self._left:
            os.close(each)
        self._left = ()


def everything(peer: socket.socket) -> bytes:
    """What has arrived."""
    data = b""
    with suppress(BlockingIOError):
        while piece := peer.recv(1 << 20):
            data += piece
    return data


@given(st.integers(1, 40), st.integers(1, 5 * PIECE_BYTES), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_a_successor_goes_on_at_the_very_byte(dies_at: int, size: int, again: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    ours, theirs = socket.socketpair()
    estate = MortalEstate()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        theirs.setblocking(False)
        outlet = Outlet(estate)
        splice = os.splice

        def mortal_splice(*args: int, **more: int) -> int:
            estate.step()
            moved = splice(*args, **more)
            estate.step()
            return moved

        os.splice = mortal_splice  # type: ignore[assignment]
        try:
            result = None
            for life in range(again + 2):
                estate.steps = dies_at if life <= again else -1
                with suppress(Died):
                    result = outlet.write(ours.fileno(), data) if not life else outlet.write_again(ours.fileno(), data)
                    break
                outlet.close()
                outlet = Outlet(estate)
        finally:
            os.splice = splice
        assert result is not None
        assert result.error == 0
        assert everything(theirs) == data[: result.accepted]
        estate.output += 1
        estate.steps = -1
        assert outlet.write_again(ours.fileno(), b"next").accepted in (0, 4)
        outlet.close()
        estate.take_out("outlet")


def test_what_a_slow_reader_does_not_take_is_not_in_the_way_of_the_next() -> None:
    ours, theirs = socket.socketpair()
    estate = MortalEstate()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        theirs.setblocking(False)
        outlet = Outlet(estate)
        data = os.urandom(1 << 20)
        done = 0
        got = b""
        while done < len(data):
            estate.output += 1
            result = outlet.write(ours.fileno(), data[done:])
            done += result.accepted
            got += everything(theirs)
        assert got == data
        theirs.close()
        estate.output += 1
        assert outlet.write(ours.fileno(), b"nobody").error
        outlet.close()
        estate.take_out("outlet")
