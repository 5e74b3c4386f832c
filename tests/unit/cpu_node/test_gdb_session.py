"""What gdb asks and is told, in front of a machine made of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cpu_node._engine import HIT_BREAK, HIT_DEVICE, HIT_WRITE
from cpu_node.arch import ARCHES
from cpu_node.debugger import Hit, Stop, Why
from cpu_node.gdbstub.packets import frame
from cpu_node.gdbstub.session import Leave, Session, Wish
from cpu_node.gdbstub.target import Answer, NotYetError, Resume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cpu_node.debugger import Watch

BASE = 0x8000_0000
SIZE = 0x2000


class Numbers:
    """Every register is its place in the list; memory is 8 KiB."""

    arch = ARCHES["riscv64"]
    can_reverse = True

    def __init__(self) -> None:
        self.memory = bytearray(n & 0xFF for n in range(SIZE))
        self.values = dict.fromkeys(self.arch.inspect.names, 0) | {"pc": BASE, "ra": 5, "priv": 1}
        self.why_read_only = ""
        self.asleep = False
        self.during: Callable[[], None] = lambda: None
        self.points: tuple[Sequence[int], Sequence[Watch]] = ((), ())

    def raw_registers(self) -> tuple[int, ...]:
        return tuple(self.values.values())

    def registers(self) -> Mapping[str, int]:
        return self.arch.debugging.view(self.raw_registers(), 7, 700)

    def read_physical(self, address: int, size: int) -> bytes:
        return bytes(self.memory[address - BASE : address - BASE + size]) if address >= BASE else b""

    def write_physical(self, address: int, data: bytes) -> None:
        self.memory[address - BASE : address - BASE + len(data)] = data

    def put_register(self, name: str, value: int) -> bool:
        if self.asleep:
            raise NotYetError
        self.values[name] = value
        return True

    def set_points(self, breaks: Sequence[int], watches: Sequence[Watch]) -> None:
        self.points = (breaks, watches)

    def command(self, words: Sequence[str], stop: Stop) -> Answer | None:
        self.during()
        return Answer(f"at {stop.icount}\n") if list(words) == ["when"] else None

    def help(self) -> Mapping[str, str]:
        return {"when": "now"}


class Line:
    """gdb's end of a session in front of a machine that stands."""

    def __init__(self) -> None:
        self.target = Numbers()
        self.session = Session(self.target)
        self.session.report(Stop(Why.INTERRUPT, 7, BASE))
        self.ask(b"QStartNoAckMode")

    def wish(self, body: bytes) -> Wish | None:
        """Send a packet; what the session wants of the machine."""
        self.session.receive(frame(body))
        return self.session.step()

    def ask(self, body: bytes) -> bytes:
        """Send a packet; the answer."""
        assert self.wish(body) is None
        return self.heard()

    def heard(self) -> bytes:
        """What has been said since the last time, without its frame."""
        return self.session.take_output().lstrip(b"+").removeprefix(b"$").partition(b"#")[0]


@pytest.fixture
def line() -> Line:
    """A fresh one."""
    return Line()


def test_what_is_not_known_is_answered_with_nothing(line: Line) -> None:
    for body in (b"vMustReplyEmpty", b"qTStatus", b"!", b"Qx", b"y"):
        assert line.ask(body) == b""


def test_the_description_has_gdb_s_own_features(line: Line) -> None:
    xml = line.ask(b"qXfer:features:read:target.xml:0,ffff")
    for feature in (b"cpu", b"fpu", b"csr", b"virtual"):
        assert b"org.gnu.gdb.riscv." + feature in xml
    assert line.ask(b"qXfer:features:read:target.xml:0,5") == b"m<?xml"
    assert b"ReverseStep+" in line.ask(b"qSupported:swbreak+")


def test_registers_are_read_and_written_by_their_numbers(line: Line) -> None:
    assert line.ask(b"p1") == b"0500000000000000"
    assert line.ask(b"p20") == BASE.to_bytes(8, "little").hex().encode()
    assert line.ask(b"P1=0900000000000000") == b"OK"
    assert line.target.values["ra"] == 9
    everything = line.ask(b"g")
    assert everything.startswith(b"00" * 8 + b"0900000000000000")
    assert line.ask(b"G" + everything.replace(b"0900", b"0700", 1)) == b"OK"
    assert line.target.values["ra"] == 7
    assert line.ask(b"pffff") == b"E22"
    assert line.ask(b"P1=09") == b"E22"


def test_memory_is_read_as_far_as_there_is_some(line: Line) -> None:
    assert line.ask(b"m80000001,3") == b"010203"
    assert line.ask(b"x80000001,3") == b"b\x01\x02\x03"
    assert line.ask(b"m80001ffe,8") == b"feff"
    assert line.ask(b"m1000,4") == b"E14"
    assert line.ask(b"M80000000,2:abcd") == b"OK"
    assert line.ask(b"m80000000,2") == b"abcd"
    assert line.ask(b"X80000000,1:\x00") == b"OK"
    assert line.ask(b"X0,0:") == b"OK"
    assert line.ask(b"M80001fff,2:abcd") == b"E14"
    assert line.ask(b"M80000000,2:ab") == b"E22"


def test_a_machine_that_may_not_be_changed_says_why(line: Line) -> None:
    line.target.why_read_only = "branch first"
    for body in (b"M80000000,1:00", b"X80000000,1:a", b"P1=0900000000000000", b"G00"):
        assert line.ask(body) == b"E.branch first"


def test_points_go_to_the_machine_when_it_goes_on(line: Line) -> None:
    assert line.ask(b"Z0,80000010,2") == b"OK"
    assert line.ask(b"Z1,80000020,4") == b"OK"
    assert line.ask(b"Z2,80000ffe,4") == b"OK"
    assert line.ask(b"Z3,10,4") == b"OK"  # not translated: any address may be one of memory
    assert line.ask(b"z3,10,4") == b"OK"
    assert line.ask(b"Z5,10,4") == b""
    assert line.wish(b"vCont;c") == Resume()
    assert line.target.points == ((0x8000_0010, 0x8000_0020), ((0x8000_0FFE, 0x8000_1001, HIT_WRITE),))
    line.session.report(Stop(Why.BREAK, 9, 0x8000_0020, Hit(HIT_BREAK, 9, 0x8000_0020, 0x8000_0020, 0)))
    assert line.heard().endswith(b"thread:1;hwbreak:;")
    assert line.wish(b"bc") == Resume(backwards=True)
    line.session.report(Stop(Why.BREAK, 9, 0x8000_0010, Hit(HIT_BREAK, 9, 0x8000_0010, 0x8000_0010, 0)))
    assert line.heard().endswith(b"swbreak:;")
    assert line.wish(b"bs") == Resume(step=True, backwards=True)
    line.session.report(Stop(Why.WATCH, 9, BASE, Hit(HIT_WRITE, 9, BASE, 0x8000_1000, 8)))
    assert line.heard().endswith(b"watch:80001000;")


@pytest.mark.parametrize("going", [b"vCont;c:1", b"vCont;s:1", b"c", b"s"])
def test_gdb_steps_over_an_access_that_has_been_done_already(line: Line, going: bytes) -> None:
    line.ask(b"Z2,80001000,8")
    line.wish(b"vCont;c")
    line.session.report(Stop(Why.WATCH, 9, BASE, Hit(HIT_WRITE, 8, BASE - 4, 0x8000_1000, 8)))
    assert line.heard().endswith(b"watch:80001000;")
    line.ask(b"z2,80001000,8")
    assert line.ask(going).endswith(b"thread:1;")  # at once
    line.ask(b"Z2,80001000,8")
    assert isinstance(line.wish(going), Resume)


def test_who_does_not_step_over_an_access_goes_on_at_once(line: Line) -> None:
    for away, going in ((b"?", b"c"), (b"z2,80001000,8", b"bs")):
        line.ask(b"Z2,80001000,8")
        line.wish(b"vCont;c")
        line.session.report(Stop(Why.WATCH, 9, BASE, Hit(HIT_WRITE, 8, BASE - 4, 0x8000_1000, 8)))
        line.heard()
        line.ask(away)
        assert isinstance(line.wish(going), Resume)
        line.session.report(Stop(Why.STEP, 10, BASE))
        line.heard()
        assert isinstance(line.wish(b"c"), Resume)
        line.session.report(Stop(Why.STEP, 11, BASE))
        line.heard()


def test_a_device_s_write_is_told_by_name(line: Line) -> None:
    line.ask(b"Z4,80000000,8")
    line.wish(b"c")
    line.session.report(Stop(Why.WATCH, 9, BASE, Hit(HIT_WRITE | HIT_DEVICE, 9, BASE, BASE, 2, "nic0")))
    said, _, stop = line.session.take_output().partition(b"$T")
    assert b"nic0 wrote 2 bytes" in bytes.fromhex(said.removeprefix(b"$O").partition(b"#")[0].decode())
    assert b"awatch:80000000;" in stop


def test_while_the_machine_runs_only_an_interrupt_is_looked_at(line: Line) -> None:
    assert line.wish(b"s") == Resume(step=True)
    line.session.receive(frame(b"g") + b"\x03")
    assert line.session.step() is None
    assert line.session.wants_stop()
    assert not line.session.wants_stop()
    line.session.report(Stop(Why.INTERRUPT, 8, BASE))
    assert line.heard().startswith(b"T02")
    assert line.session.step() is None
    assert len(line.heard()) > 100


def test_the_ends_of_a_history_and_of_a_machine_are_told(line: Line) -> None:
    for why, told in ((Why.BEGIN, b"replaylog:begin;"), (Why.END, b"replaylog:end;")):
        line.wish(b"bc")
        line.session.report(Stop(why, 0, BASE))
        assert line.heard().endswith(told)
    line.wish(b"c")
    line.session.gone(0)
    assert line.heard() == b"W00"


def test_gdb_goes_in_three_ways(line: Line) -> None:
    assert line.wish(b"D") == Leave()
    assert line.heard() == b"OK"
    assert line.wish(b"k") == Leave(kill=True)
    assert line.wish(b"vKill;1") == Leave(kill=True)


def test_monitor_commands_are_lines_of_text(line: Line) -> None:
    def monitor(text: str) -> str:
        answer = line.ask(b"qRcmd," + text.encode().hex().encode())
        return "" if answer == b"OK" else bytes.fromhex(answer.decode()).decode()

    assert monitor("when") == "at 7\n"
    assert "phys on|off" in monitor("help")
    assert "no such command" in monitor("dance")
    assert monitor("phys on") == ""
    assert "physical" in monitor("phys")
    assert line.ask(b"qqemu.PhyMemMode") == b"1"
    assert line.ask(b"Qqemu.PhyMemMode:0") == b"OK"
    assert "virtual" in monitor("phys")


def test_what_a_sleeping_machine_cannot_be_told_is_dealt_with_when_it_has_woken(line: Line) -> None:
    line.target.asleep = True
    assert line.ask(b"P1=0900000000000000") == b""
    assert line.session.waits
    line.session.receive(frame(b"p1"))
    assert line.session.step() is None
    assert line.heard() == b""
    line.target.asleep = False
    line.session.report(Stop(Why.INTERRUPT, 7, BASE))
    assert line.heard() == b"OK"
    assert line.session.step() is None
    assert line.heard() == b"0900000000000000"


COMMAND = b"qRcmd," + b"when".hex().encode()


def test_a_command_that_gdb_has_given_up_is_not_answered(line: Line) -> None:
    def gdb_asks_for_something_else() -> None:
        assert not line.session.wants_stop()
        line.session.receive(frame(b"p1"))
        assert line.session.wants_stop()

    line.target.during = gdb_asks_for_something_else
    assert line.wish(COMMAND) is None
    assert line.heard() == b"0500000000000000"


def test_an_impatient_gdb_s_signs_in_a_long_command_are_no_request_to_say_it_again(line: Line) -> None:
    line.target.during = lambda: line.session.receive(b"--")
    assert line.ask(COMMAND) == b"at 7\n".hex().encode()
    assert line.session.step() is None
    assert line.heard() == b""
