"""One gdb and what it says: packets in, answers out, and now and then a wish that the machine goes on.

Source: the GDB manual, appendix E (GDB Remote Serial Protocol).

Theory of operation.  Bytes come in by receive() and go out by take_output().  step() deals with the next packet and
returns what the server must do with the machine, if anything; while the machine runs nothing but an interrupt is
looked at, and report() says how it stopped.

Lives here: what each packet means.  Never here: sockets, waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cpu_node.debugger import GDB, RESET, Hit, Stop, Why
from cpu_node.gdbstub.addresses import Addresses
from cpu_node.gdbstub.description import Description
from cpu_node.gdbstub.monitor import Monitor
from cpu_node.gdbstub.packets import ACK, LARGEST, NACK, RESEND, Packet, PacketReader, frame
from cpu_node.gdbstub.points import ACCESS, Points
from cpu_node.gdbstub.target import NotYetError, Resume, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cpu_node.gdbstub.target import Target

SIGINT, SIGTRAP, SIGABRT = 2, 5, 6
THREAD: Final = b"1"
OK: Final = b"OK"
BAD: Final = b"E22"
NOT_THERE: Final = b"E14"
LARGEST_READ: Final = LARGEST // 4


@dataclass(frozen=True, slots=True)
class Leave:
    """gdb goes; `kill`: the machine with it."""

    kill: bool = False


Wish = Resume | Leave


class Session:
    """From gdb's first byte to its last."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = PacketReader()
        self._description = Description(target.arch.debugging)
        self._addresses = Addresses(target)
        self.points = Points(self._addresses)
        self._monitor = Monitor(target, self._addresses)
        self._output = b""
        self._last = b""
        self._running = False
        self._stop: Stop | None = None
        self._commanded = False
        """A `monitor` command is under way."""
        self._stepped = False
        """The machine stands behind an access that gdb is about to step over."""
        self._unanswered: Packet | None = None
        self._handlers: Mapping[bytes, Callable[[bytes], bytes | Wish | None]] = {
            b"?": lambda _: self._stop_reply(),
            b"g": lambda _: self._description.all_bytes(self._target.registers()).hex().encode(),
            b"G": self._write_all,
            b"p": self._read_register,
            b"P": self._write_register,
            b"m": self._read_memory,
            b"x": self._read_binary,
            b"M": self._write_memory,
            b"X": self._write_binary,
            b"Z": lambda rest: self._point(rest, insert=True),
            b"z": lambda rest: self._point(rest, insert=False),
            **dict.fromkeys((b"c", b"C"), lambda _: self._onwards(step=False)),
            **dict.fromkeys((b"s", b"S"), lambda _: self._onwards(step=True)),
            b"b": self._backwards,
            b"v": self._v_packet,
            b"q": self._query,
            b"Q": self._set,
            b"H": lambda _: OK,
            b"T": lambda _: OK,
            b"D": self._detach,
            b"k": lambda _: Leave(kill=True),
        }

    def receive(self, data: bytes) -> None:
        """gdb has said something; RemoteWireError if it cannot be gdb."""
        self._reader.feed(data)

    def take_output(self) -> bytes:
        """What gdb is to be told now."""
        data, self._output = self._output, b""
        return data

    @property
    def waits(self) -> bool:
        """Whether the machine has to wake before gdb's last packet can be answered."""
        return self._unanswered is not None

    def wants_stop(self) -> bool:
        """Whether gdb has interrupted a machine that runs, or a `monitor` command; asked once for each time.

        gdb's own Ctrl-C in a `monitor` command says nothing: it wants no answer any more, and asks for something else.
        """
        if self._commanded and self._reader.has_packet:
            return True
        return (self._running or self._commanded) and self._reader.take_interrupt()

    def step(self) -> Wish | None:
        """Deal with what has come until the machine is to do something; None when nothing is left to deal with."""
        while (
            not self._running
            and not self.waits
            and self._stop is not None
            and (item := self._reader.take()) is not None
        ):
            if item == NACK:
                self._output += NACK
            elif item == RESEND:
                self._output += self._last
            elif isinstance(item, Packet) and (wish := self._deal(item)):
                return wish
        return None

    def report(self, stop: Stop) -> None:
        """The machine stands; tell, if gdb waits for it and has not just come."""
        self._stop = stop
        if (packet := self._unanswered) is not None:
            self._unanswered = None
            self._answer(packet)
        if not self._running:
            return
        self._running = False
        if stop.why is Why.WATCH:
            self._stepped = self._target.arch.debugging.steps_over_watched
        if stop.text:
            self._say(stop.text + "\n")
        if stop.hit is not None and stop.hit.device and stop.why is Why.WATCH:
            self._say(_writer(stop.hit))
        self._send(self._stop_reply())

    def gone(self, code: int) -> None:
        """The machine is no more."""
        if self._running:
            self._running = False
            self._send(b"W%02x" % (code & 0xFF))

    def _deal(self, packet: Packet) -> Wish | None:
        if self._reader.acknowledges:
            self._output += ACK
        return self._answer(packet)

    def _answer(self, packet: Packet) -> Wish | None:
        handler = self._handlers.get(packet[:1])
        try:
            answer = b"" if handler is None else handler(packet[1:])
            if isinstance(answer, Resume):
                self._stepped = False
                self._target.set_points(self.points.breaks, self.points.watches)
        except NotYetError:
            self._unanswered = packet
            return None
        except TargetError as error:
            answer = b"E.%b" % str(error).encode()
        except (ValueError, IndexError, KeyError):
            answer = BAD
        if isinstance(answer, bytes):
            self._send(answer)
            return None
        if answer is None:
            return None
        self._running = isinstance(answer, Resume)
        if answer == Leave():
            self._send(OK)
        return answer

    def _send(self, body: bytes) -> None:
        self._last = frame(body)
        self._output += self._last

    def _say(self, text: str) -> None:
        self._send(b"O" + text.encode().hex().encode())

    def _stop_reply(self) -> bytes:
        stop = self._stop
        assert stop is not None
        signal = {Why.INTERRUPT: SIGINT, Why.DIVERGED: SIGABRT}.get(stop.why, SIGTRAP)
        pc = self._description.number(self._target.arch.inspect.pc)
        where = f"{pc:x}:{stop.pc.to_bytes(8, 'little').hex()};"
        reasons = {Why.BEGIN: "replaylog:begin;", Why.END: "replaylog:end;"}
        reason = reasons.get(stop.why, "")
        if stop.why in (Why.BREAK, Why.WATCH):
            assert isinstance(stop.hit, Hit)
            reason = self.points.reason(stop.hit)
        return f"T{signal:02x}{where}thread:{THREAD.decode()};{reason}".encode()

    def _read_register(self, rest: bytes) -> bytes:
        return self._description.bytes_of(int(rest, 16), self._target.registers()).hex().encode()

    def _write_register(self, rest: bytes) -> bytes:
        number, _, value = rest.partition(b"=")
        self._may_write()
        name, size = self._description.registers[int(number, 16)]
        data = bytes.fromhex(value.decode())
        if len(data) != size:
            return BAD
        return OK if self._target.put_register(name, int.from_bytes(data, "little")) else BAD

    def _write_all(self, rest: bytes) -> bytes:
        self._may_write()
        before = self._target.registers()
        for name, value in self._description.split(bytes.fromhex(rest.decode())):
            if value != before[name]:
                self._target.put_register(name, value)
        return OK

    def _read_memory(self, rest: bytes) -> bytes:
        address, size = _range(rest)
        data = self._addresses.read(address, min(size, LARGEST_READ))
        return data.hex().encode() if data or not size else NOT_THERE

    def _read_binary(self, rest: bytes) -> bytes:
        address, size = _range(rest)
        data = self._addresses.read(address, min(size, LARGEST_READ))
        return b"b" + data if data or not size else NOT_THERE

    def _write_memory(self, rest: bytes) -> bytes:
        where, _, digits = rest.partition(b":")
        return self._write(where, bytes.fromhex(digits.decode()))

    def _write_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._write(where, data)

    def _write(self, where: bytes, data: bytes) -> bytes:
        address, size = _range(where)
        if size != len(data):
            return BAD
        if not size:
            return OK
        self._may_write()
        return OK if self._addresses.write(address, data) else NOT_THERE

    def _may_write(self) -> None:
        if self._target.why_read_only:
            raise TargetError(self._target.why_read_only)

    def _point(self, rest: bytes, *, insert: bool) -> bytes:
        fields = rest.partition(b";")[0].split(b",")
        kind, address, size = (int(field, 16) for field in fields)
        if kind > ACCESS:
            return b""
        if not insert:
            self.points.remove(kind, address, size)
            return OK
        return OK if self.points.insert(kind, address, size) else NOT_THERE

    def _onwards(self, *, step: bool) -> bytes | Wish:
        """Forward, unless gdb takes its watchpoints away to step over the access: the machine has done that already."""
        if not self._stepped or self.points.watches:
            return Resume(step=step)
        assert self._stop is not None
        self._stepped = False
        self._stop = replace(self._stop, why=Why.STEP)
        return self._stop_reply()

    def _backwards(self, rest: bytes) -> bytes | Wish:
        if not self._target.can_reverse or rest not in (b"s", b"c"):
            return b""
        return Resume(step=rest == b"s", backwards=True)

    def _v_packet(self, rest: bytes) -> bytes | Wish:
        name, _, more = rest.partition(b";")
        if rest == b"Cont?":
            return b"vCont;c;C;s;S"
        if name == b"Cont":
            action = more[:1].lower()
            return self._onwards(step=action == b"s") if action in (b"c", b"s") else BAD
        if name == b"Kill":
            self._send(OK)
            return Leave(kill=True)
        if name == b"Attach":
            return self._stop_reply()
        return b""

    def _detach(self, _: bytes) -> Wish:
        return Leave()

    def _set(self, rest: bytes) -> bytes:
        name, _, value = rest.partition(b":")
        if name == b"StartNoAckMode":
            self._reader.acknowledges = False
            return OK
        if name == b"qemu.PhyMemMode":
            self._addresses.physical = value != b"0"
            return OK
        return b""

    def _query(self, rest: bytes) -> bytes | None:
        name, _, value = rest.partition(b":")
        if name.startswith(b"Rcmd,"):
            return self._command(bytes.fromhex(name[5:].decode()).decode(errors="replace"))
        if name == b"Xfer" and value.startswith(b"features:read:target.xml:"):
            return _slice(self._description.xml(), value.rpartition(b":")[2])
        answers = {
            b"Supported": self._features(),
            b"Attached": b"1",
            b"C": b"QC" + THREAD,
            b"fThreadInfo": b"m" + THREAD,
            b"sThreadInfo": b"l",
            b"qemu.PhyMemMode": b"%d" % self._addresses.physical,
            b"Symbol": OK,
        }
        return answers.get(name.partition(b",")[0], b"")

    def _features(self) -> bytes:
        backwards = b"ReverseStep+;ReverseContinue+;" if self._target.can_reverse else b""
        return (
            b"PacketSize=%x;QStartNoAckMode+;vContSupported+;qXfer:features:read+;swbreak+;hwbreak+;" % LARGEST
            + backwards
            + b"binary-upload+"
        )

    def _command(self, line: str) -> bytes | None:
        """What a command prints; None if gdb does not wait for it any more."""
        assert self._stop is not None
        self._commanded = True
        try:
            text, self._stop = self._monitor.run(line, self._stop)
        finally:
            self._commanded = False
        if self._reader.has_packet:
            return None
        return text.encode().hex().encode() or OK


def _writer(hit: Hit) -> str:
    """Who has written, if it was not the CPU."""
    if hit.device == RESET:
        return f"the machine has begun anew: memory is cleared and the guest loaded, icount {hit.icount}\n"
    how = "" if hit.device == GDB else " by DMA"
    return f"{hit.device} wrote {hit.size} bytes at {hit.address:#x}{how}, icount {hit.icount}\n"


def _range(text: bytes) -> tuple[int, int]:
    address, _, size = text.partition(b",")
    return int(address, 16), int(size, 16)


def _slice(document: bytes, place: bytes) -> bytes:
    start, size = _range(place)
    part = document[start : start + size]
    return (b"m" if start + size < len(document) else b"l") + part
