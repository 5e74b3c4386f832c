"""The telnet protocol between a byte stream and a network virtual terminal (RFC 854, 855, 856, 857, 858, 1143).

Lives here: what the bytes mean, what is answered.
Never here: sockets.

We ask for what QEMU's telnet server asks for: characters at a time, echoed by the guest, eight bits wide.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, Final

from machine.message import HostEvent

if TYPE_CHECKING:
    from collections.abc import Iterator


class Command(IntEnum):
    """RFC 854, TELNET COMMAND STRUCTURE: the bytes behind an IAC that mean something to us."""

    SE = 240
    BREAK = 243
    ARE_YOU_THERE = 246
    SB = 250
    WILL = 251
    WONT = 252
    DO = 253
    DONT = 254
    IAC = 255


class Option(IntEnum):
    """Options either side may have on (the protocol registry's numbers)."""

    BINARY = 0
    ECHO = 1
    SUPPRESS_GO_AHEAD = 3


class Side(Enum):
    """RFC 1143, the states of an option that is never switched off again once we have asked for it."""

    NO = auto()
    WANT_YES = auto()
    YES = auto()


class _Place(Enum):
    """Where in the protocol the next byte from the peer stands."""

    TEXT = auto()
    COMMAND = auto()
    OPTION = auto()
    SUBNEGOTIATION = auto()
    SUBNEGOTIATION_COMMAND = auto()


SERVER_OFFERS: Final = (Option.ECHO, Option.SUPPRESS_GO_AHEAD, Option.BINARY)
"""What we have on as a server, in the order QEMU says it."""
SERVER_WANTS: Final = (Option.BINARY,)
"""What the peer of a server is asked to have on."""
CLIENT_OFFERS: Final = (Option.SUPPRESS_GO_AHEAD, Option.BINARY)
CLIENT_WANTS: Final = (Option.ECHO, Option.SUPPRESS_GO_AHEAD, Option.BINARY)
"""A client lets the other side speak first, and agrees to this."""
YES_I_AM: Final = b"\r\n[yes]\r\n"
"""RFC 854, Are You There: some visible evidence."""
_IAC: Final = bytes((Command.IAC,))
_BARE_RETURN: Final = re.compile(rb"\r(?!\n|\Z)")
_RETURN_KEY: Final = re.compile(rb"\r[\n\0]")


class TelnetCodec:
    """One connection's state.  `replies` holds what must be sent besides encode()'s results, in order."""

    def __init__(self, *, server: bool) -> None:
        offers = SERVER_OFFERS if server else CLIENT_OFFERS
        # A server is asked for no less than it asks for: a peer may suppress go-aheads too.
        wants = (*SERVER_WANTS, Option.SUPPRESS_GO_AHEAD) if server else CLIENT_WANTS
        self._ours: dict[int, Side] = dict.fromkeys(offers, Side.NO)
        self._theirs: dict[int, Side] = dict.fromkeys(wants, Side.NO)
        self.replies = bytearray()
        self._place = _Place.TEXT
        self._verb = Command.WILL
        self._return_heard = False
        self._return_said = False
        if server:
            for option in SERVER_OFFERS:
                self._ask(Command.WILL, self._ours, option)
            for option in SERVER_WANTS:
                self._ask(Command.DO, self._theirs, option)

    def has(self, option: Option, *, ours: bool) -> bool:
        """Whether an option is on, on our side or on theirs."""
        return (self._ours if ours else self._theirs).get(option) is Side.YES

    def encode(self, data: bytes) -> bytes:
        """The guest's bytes as they go out."""
        out = data.replace(_IAC, _IAC + _IAC)
        if not data:
            return b""
        if self.has(Option.BINARY, ours=True):
            self._return_said = False
            return out
        # RFC 854, THE NVT PRINTER AND KEYBOARD: a carriage return that is not a new line is CR NUL.  What
        # follows a CR at the end is not known yet, so its NUL goes out in front of that.
        first = b"\0" if self._return_said and not data.startswith(b"\n") else b""
        self._return_said = data.endswith(b"\r")
        return first + _BARE_RETURN.sub(b"\r\0", out)

    def decode(self, data: bytes) -> Iterator[tuple[HostEvent, bytes]]:
        """What the peer has typed, and its breaks, in order; never more bytes than came in."""
        text = bytearray()
        at = 0
        while at < len(data):
            if self._place is _Place.TEXT:
                end = data.find(_IAC, at)
                end = len(data) if end < 0 else end
                text += self._typed(data[at:end])
                at = end
                if at == len(data):
                    break
                self._place = _Place.COMMAND
            elif self._follow(data[at], text):
                if text:
                    yield HostEvent.DATA, bytes(text)
                    text.clear()
                yield HostEvent.BREAK, b""
            at += 1
        if text:
            yield HostEvent.DATA, bytes(text)

    def _follow(self, byte: int, text: bytearray) -> bool:
        """One byte inside of a command; True if it was a break."""
        match self._place:
            case _Place.OPTION:
                self._place = _Place.TEXT
                self._negotiate(self._verb, byte)
            case _Place.SUBNEGOTIATION:
                # We have asked for no parameters: they are passed over.
                if byte == Command.IAC:
                    self._place = _Place.SUBNEGOTIATION_COMMAND
            case _Place.SUBNEGOTIATION_COMMAND:
                self._place = _Place.TEXT if byte == Command.SE else _Place.SUBNEGOTIATION
            case _:
                return self._command(byte, text)
        return False

    def _command(self, byte: int, text: bytearray) -> bool:
        """The byte behind an IAC; True if it was a break."""
        self._place = _Place.TEXT
        match byte:
            case Command.IAC:
                text += self._typed(_IAC)
            case Command.WILL | Command.WONT | Command.DO | Command.DONT:
                self._place, self._verb = _Place.OPTION, Command(byte)
            case Command.SB:
                self._place = _Place.SUBNEGOTIATION
            case Command.ARE_YOU_THERE:
                self.replies += YES_I_AM
            case Command.BREAK:
                return True
            case _:
                pass
        return False

    def _typed(self, data: bytes) -> bytes:
        """Text of the network virtual terminal; RFC 1123, 3.3.1: CR LF and CR NUL are the return key."""
        if self.has(Option.BINARY, ours=False) or not data:
            self._return_heard = False
            return data
        tail = data[1:] if self._return_heard and data[0] in b"\n\0" else data
        self._return_heard = tail.endswith(b"\r")
        return _RETURN_KEY.sub(b"\r", tail)

    def _negotiate(self, verb: Command, option: int) -> None:
        """RFC 1143: agree to what we know, refuse the rest, never answer what changes nothing."""
        on = verb in (Command.WILL, Command.DO)
        about_them = verb in (Command.WILL, Command.WONT)
        sides = self._theirs if about_them else self._ours
        yes, no = (Command.DO, Command.DONT) if about_them else (Command.WILL, Command.WONT)
        side = sides.get(option)
        if on:
            if side is None:
                self._say(no, option)
            else:
                sides[option] = Side.YES
                if side is Side.NO:
                    self._say(yes, option)
        elif side in (Side.YES, Side.WANT_YES):
            sides[option] = Side.NO
            if side is Side.YES:
                self._say(no, option)

    def _ask(self, verb: Command, sides: dict[int, Side], option: Option) -> None:
        sides[option] = Side.WANT_YES
        self._say(verb, option)

    def _say(self, verb: Command, option: int) -> None:
        self.replies += bytes((Command.IAC, verb, option))
