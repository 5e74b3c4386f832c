"""The telnet protocol: what it makes of bytes, whatever they are and however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends.char.telnet import YES_I_AM, Command, Option, TelnetCodec
from machine.message import HostEvent

IAC, WILL, WONT, DO, DONT = Command.IAC, Command.WILL, Command.WONT, Command.DO, Command.DONT
BINARY, ECHO, SGA = Option.BINARY, Option.ECHO, Option.SUPPRESS_GO_AHEAD
TERMINAL_TYPE = 24

protocol_bytes = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([bytes((IAC, verb, option)) for verb in (WILL, WONT, DO, DONT) for option in (0, 1, 3, 24, 255)]),
    st.sampled_from([b"\r", b"\n", b"\0", b"\r\n", b"\r\0", bytes((IAC, IAC)), bytes((IAC,)), bytes((IAC, 243))]),
    st.just(bytes((IAC, Command.SB, TERMINAL_TYPE, 1, IAC, IAC, IAC, Command.SE))),
)
conversations = st.lists(protocol_bytes, max_size=30).map(b"".join)


def say(*words: int) -> bytes:
    return bytes((IAC, *words))


def quiet(*, server: bool = True) -> TelnetCodec:
    """A codec whose first questions have been sent and not been answered."""
    codec = TelnetCodec(server=server)
    codec.replies.clear()
    return codec


def binary(*, server: bool = True) -> TelnetCodec:
    """A codec between eight-bit ends."""
    codec = quiet(server=server)
    assert list(codec.decode(say(DO, BINARY) + say(WILL, BINARY))) == []
    codec.replies.clear()
    return codec


def heard(codec: TelnetCodec, *pieces: bytes) -> bytes:
    return b"".join(text for piece in pieces for _, text in codec.decode(piece))


def test_a_server_asks_for_what_qemu_asks_for() -> None:
    assert TelnetCodec(server=True).replies == say(WILL, ECHO) + say(WILL, SGA) + say(WILL, BINARY) + say(DO, BINARY)
    assert TelnetCodec(server=False).replies == b""


def test_an_answer_to_our_question_is_not_answered() -> None:
    codec = quiet()
    answers = say(DO, ECHO) + say(DO, SGA) + say(DO, BINARY) + say(WILL, BINARY)
    assert list(codec.decode(answers)) == []
    assert codec.replies == b""
    assert codec.has(BINARY, ours=True)
    assert codec.has(BINARY, ours=False)
    assert list(codec.decode(answers)) == []
    assert codec.replies == b""


def test_what_we_do_not_have_is_refused_and_what_we_have_may_be_refused() -> None:
    codec = quiet()
    assert heard(codec, say(WILL, TERMINAL_TYPE) + say(DO, TERMINAL_TYPE) + say(WILL, ECHO)) == b""
    assert codec.replies == say(DONT, TERMINAL_TYPE) + say(WONT, TERMINAL_TYPE) + say(DONT, ECHO)
    codec.replies.clear()
    assert heard(codec, say(DONT, BINARY) + say(WONT, BINARY) + say(WONT, TERMINAL_TYPE)) == b""
    assert codec.replies == b""
    assert not codec.has(BINARY, ours=True)


def test_an_option_may_go_off_and_on_again_and_each_change_is_answered_once() -> None:
    codec = binary()
    assert heard(codec, say(DONT, BINARY) + say(DONT, BINARY) + say(WONT, BINARY)) == b""
    assert codec.replies == say(WONT, BINARY) + say(DONT, BINARY)
    codec.replies.clear()
    assert heard(codec, say(WILL, BINARY) + say(WILL, BINARY) + say(DO, BINARY)) == b""
    assert codec.replies == say(DO, BINARY) + say(WILL, BINARY)


def test_a_client_agrees_to_what_a_server_like_ours_asks_for_and_then_both_are_silent() -> None:
    server, client = TelnetCodec(server=True), TelnetCodec(server=False)
    for _ in range(2):
        assert heard(client, bytes(server.replies)) == b""
        server.replies.clear()
        assert heard(server, bytes(client.replies)) == b""
        client.replies.clear()
    assert server.replies == b""
    for option in (ECHO, SGA, BINARY):
        assert server.has(option, ours=True)
        assert client.has(option, ours=False)
    assert server.has(BINARY, ours=False)
    assert client.has(BINARY, ours=True)


def test_an_echo_is_never_agreed_to_by_both_sides() -> None:
    client = TelnetCodec(server=False)
    assert heard(client, say(DO, ECHO)) == b""
    assert client.replies == say(WONT, ECHO)


def test_a_break_stands_between_what_was_typed_before_and_after_it() -> None:
    events = list(binary().decode(b"before" + say(Command.BREAK) + b"after" + say(Command.BREAK)))
    data, brk = HostEvent.DATA, HostEvent.BREAK
    assert events == [(data, b"before"), (brk, b""), (data, b"after"), (brk, b"")]


def test_are_you_there_is_answered_visibly() -> None:
    codec = quiet()
    assert heard(codec, say(Command.ARE_YOU_THERE)) == b""
    assert codec.replies == YES_I_AM


@pytest.mark.parametrize("command", [240, 241, 242, 244, 245, 247, 248, 249, 0, 65])
def test_other_commands_are_passed_over(command: int) -> None:
    codec = quiet()
    assert heard(codec, b"a" + say(command) + b"b") == b"ab"
    assert codec.replies == b""


def test_parameters_are_passed_over_however_long_and_whatever_is_in_them() -> None:
    codec = quiet()
    parameters = say(Command.SB, TERMINAL_TYPE) + b"x" * 100_000 + say(IAC) + say(Command.BREAK) + b"y"
    assert heard(codec, b"a", parameters, say(Command.SE) + b"b") == b"ab"
    assert codec.replies == b""


@pytest.mark.parametrize(
    ("typed", "means"),
    [(b"ls\r\n", b"ls\r"), (b"ls\r\0", b"ls\r"), (b"\n", b"\n"), (b"\r\r\n\n\0", b"\r\r\n\0"), (b"\r\n\0", b"\r\0")],
)
def test_the_return_key_of_a_network_virtual_terminal_is_one_byte(typed: bytes, means: bytes) -> None:
    assert heard(quiet(), typed) == means
    assert heard(quiet(), *(bytes((byte,)) for byte in typed)) == means
    assert heard(binary(), typed) == typed


def test_a_carriage_return_to_a_network_virtual_terminal_is_told_from_a_new_line() -> None:
    codec = quiet()
    assert codec.encode(b"a\rb\r\nc\xff\r") == b"a\r\0b\r\nc\xff\xff\r"
    assert codec.encode(b"\n\r") == b"\n\r"
    assert codec.encode(b"") == b""
    assert codec.encode(b"d") == b"\0d"
    assert binary().encode(b"a\rb\r\nc\xff\r") == b"a\rb\r\nc\xff\xff\r"


@given(st.lists(st.binary(max_size=50)))
def test_eight_bit_ends_hear_what_was_said(pieces: list[bytes]) -> None:
    here, there = binary(server=True), binary(server=False)
    assert heard(there, *(here.encode(piece) for piece in pieces)) == b"".join(pieces)


@given(st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"\xff", b"x"]), max_size=4).map(b"".join)))
def test_a_network_virtual_terminal_hears_new_lines_as_the_return_key_and_all_else_as_it_was(
    pieces: list[bytes],
) -> None:
    here, there = quiet(server=True), quiet(server=False)
    whole = b"".join(pieces)
    assert heard(there, *(here.encode(piece) for piece in pieces)) == whole.replace(b"\r\n", b"\r")


@given(conversations, st.lists(st.integers(0, 300)), st.booleans())
def test_where_the_bytes_are_cut_means_nothing(data: bytes, cuts: list[int], server: bool) -> None:
    def run(pieces: list[bytes]) -> tuple[list[object], bytes]:
        codec = TelnetCodec(server=server)
        events: list[object] = []
        for piece in pieces:
            for event, text in codec.decode(piece):
                events += text or [event]
        return events, bytes(codec.replies)

    at = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert run([data[a:b] for a, b in pairwise(at)]) == run([data])


@given(conversations, st.booleans())
def test_no_conversation_makes_more_than_came_in_or_answers_without_end(data: bytes, server: bool) -> None:
    codec = quiet(server=server)
    assert len(heard(codec, data)) <= len(data)
    assert len(codec.replies) <= len(data) + data.count(say(Command.ARE_YOU_THERE)) * len(YES_I_AM)


@given(st.booleans(), st.booleans(), st.lists(st.tuples(st.booleans(), st.integers(1, 7)), max_size=40))
def test_two_ends_agree_and_fall_silent_whatever_roles_they_have_and_whenever_they_hear(
    a_serves: bool, b_serves: bool, deliveries: list[tuple[bool, int]]
) -> None:
    a, b = TelnetCodec(server=a_serves), TelnetCodec(server=b_serves)
    drained = [(to_a, 100) for _ in range(4) for to_a in (True, False)]
    for to_a, size in (*deliveries, *drained):
        source, target = (b, a) if to_a else (a, b)
        assert heard(target, bytes(source.replies[:size])) == b""
        del source.replies[:size]
    assert not a.replies
    assert not b.replies
    for option in (BINARY, ECHO, SGA):
        assert a.has(option, ours=True) == b.has(option, ours=False)
        assert b.has(option, ours=True) == a.has(option, ours=False)
