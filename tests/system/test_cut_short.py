"""A log that ends anywhere, as a killed broker leaves it: also between what a stop of the CPU causes and the stop.

What the CPU has gathered for its devices it tells in front of its stop for an input, and both are in the log in this
order.  A log may end between the two, and a CPU may die there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

from cpu_node.engine import POSTED_DISTANCE
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from machine.codec import type_of
from machine.errors import EXIT_DONE
from machine.icount import CPU
from machine.message import MmioAccess, SyncPoint
from machine.recording.reader import Recording
from replay_broker.retrace import SoFar
from tests.harness.guests import guest
from tests.harness.machine import console
from tests.harness.monitor import connect
from tests.harness.rigged import Rig
from tests.unit.machine.recordings import write

if TYPE_CHECKING:
    from pathlib import Path

    from machine.frame import Frame
    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

TYPED: Final = bytes(range(0x20, 0x2E)) * 8
"""Any but what the guest says by itself."""
DOTS: Final = 5
"""Said between two bytes that are typed, at most: so that they come at every moment of the guest's."""
PLACES: Final = 10
END: Final = b"\x04"
LIVES: Final = 2
"""A process that dies at one message more often is given up."""
OTHERS: Final = 100
"""Of the places where nothing special is, one in so many is tried."""


def _typed_to_meanwhile(home: Home, lives: int = 0) -> tuple[Path, str]:
    """The recording of a guest that is typed to while it speaks and never sleeps; what was said on standard error."""
    path, where = home.work / "a.dejavm", home.work / "line"
    words = ("--kernel", guest("hum"), "--serial", f"unix:{where},server=on")
    command = (sys.executable, "-P", "-m", "tests.harness.dying", "told", str(lives), str(home.work / "lives"))
    rig = Rig(prefix={"cpu": command})
    running = home.start("record", "bare", *words, "-o", path, rig=rig)
    with connect(where) as peer, peer.makefile("rb") as said:
        heard = said.readline()
        for number, byte in enumerate(TYPED):
            heard += said.read(number % DOTS)
            peer.sendall(bytes((byte,)))
            while heard[-1] != byte:
                heard += said.read(1)
        peer.sendall(END)
        heard += said.read()
    done = running.finish()
    assert done.exit_code == EXIT_DONE, done.stderr
    assert heard == console(path)
    return path, done.stderr


def _told_in_front_of_a_stop(frames: list[Frame]) -> list[int]:
    """The numbers of messages by which an awake CPU told what was gathered before it was due, for a stop alone."""
    of_cpu = [frame for frame in frames if frame.type in (type_of(MmioAccess), type_of(SyncPoint))]
    return [
        told.seq
        for before, told, stop in zip(of_cpu, of_cpu[1:], of_cpu[2:], strict=False)
        if (told.type, stop.type) == (type_of(MmioAccess), type_of(SyncPoint))
        and told.icount == stop.icount < before.icount + POSTED_DISTANCE
    ]


def test_a_log_that_ends_at_any_message_is_done_again_up_to_there(home: Home) -> None:
    path, _ = _typed_to_meanwhile(home)
    whole = Recording.open(path)
    frames = list(whole.frames())
    ends = {*range(1, len(frames), OTHERS)}
    told = _told_in_front_of_a_stop(frames)
    assert told
    for seq in told[:PLACES]:
        ends |= {*range(seq, seq + 4)}
    for seq in sorted(ends & {*range(len(frames))}):
        player = Player(SoFar.of(path, seq), whole.board, Perturbation())
        player.run_on(whole.end_icount + 1)
        assert player.link.seq >= max((frame.seq for frame in frames[:seq] if frame.source == CPU), default=0), seq


def test_a_log_that_ends_in_front_of_a_stop_replays_both_ways_and_is_gone_on_with(home: Home) -> None:
    path, _ = _typed_to_meanwhile(home)
    whole = Recording.open(path)
    frames = list(whole.frames())
    seq = _told_in_front_of_a_stop(frames)[-1]
    end = next(frame.seq for frame in frames[seq:] if frame.type == type_of(SyncPoint)) - 1
    cut = write(home.work / "cut.dejavm", frames[:end], chunk=end, close=False, board=whole.board, facts=whole.facts)
    assert Recording.open(cut).messages == end
    for devices in ("log", "live"):
        done = home.run("verify", cut, "--devices", devices, "--json")
        assert done.exit_code == EXIT_DONE, done.stderr
        assert done.json["messages"] == end
    done = home.start_argv([sys.executable, "-m", "deploy.continuing", str(cut)]).finish()
    assert done.exit_code == EXIT_DONE, done.stdout + done.stderr
    at, icount = map(int, done.stdout.split())
    assert 0 < at <= end
    assert 0 < icount <= frames[end - 1].icount


def test_a_cpu_that_dies_in_front_of_its_stop_goes_on_where_it_was(home: Home) -> None:
    path, said = _typed_to_meanwhile(home, LIVES)
    # A successor that dies as soon as it is as far may not have been told of as one that stands in.
    assert said.count("has died") == LIVES
    home.verify_both_ways(path)
