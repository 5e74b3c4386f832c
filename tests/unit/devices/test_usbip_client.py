"""The USB/IP client without a socket, against a server played byte by byte: an honest one, and every kind of liar."""

from __future__ import annotations

import errno
import itertools
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.usb.descriptors import endpoints
from devices.backends.usb.usbip_client import MOST_UNANSWERED, MOST_UNSENT_BYTES, UsbipClient
from devices.backends.usb.usbip_protocol import ProtocolError
from devices.usb.messages import HOST_TRANSFER_BYTES, HostCompletion, HostDescription, HostSpeed, HostSubmit

BUSID = "1-1.4"
DEVICE = bytes((18, 1, 0, 2, 255, 0, 0, 64, 9, 18, 4, 0, 0, 1, 1, 2, 3, 2))
"""A device descriptor with two configurations."""
CONFIGURATIONS = (
    bytes((9, 2, 9 + 9 + 7 + 7, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 255, 0, 0, 0))
    + bytes((7, 5, 0x81, 3, 8, 0, 4, 7, 5, 0x02, 2, 0, 2, 0)),
    bytes((9, 2, 9 + 9 + 7, 0, 1, 2, 0, 0x80, 50, 9, 4, 0, 0, 1, 255, 0, 0, 0, 7, 5, 0x83, 1, 64, 0, 1)),
)
HEAD = struct.Struct(">IIIII iiIII8x")
Events = list[HostDescription | HostCompletion]


@dataclass
class Command:
    """What the client has sent: CMD_SUBMIT or CMD_UNLINK, field by field as the specification has them."""

    command: int
    seqnum: int
    devid: int
    direction: int
    endpoint: int
    rest: bytes
    data: bytes = b""

    @property
    def flags(self) -> int:
        return int(struct.unpack_from(">I", self.rest)[0])

    @property
    def length(self) -> int:
        return int(struct.unpack_from(">I", self.rest, 4)[0])

    @property
    def packets(self) -> int:
        return int(struct.unpack_from(">i", self.rest, 12)[0])

    @property
    def interval(self) -> int:
        return int(struct.unpack_from(">I", self.rest, 16)[0])

    @property
    def setup(self) -> bytes:
        return self.rest[20:28]


@dataclass
class Server:
    """The other end: takes the client's commands apart and answers as it is told."""

    client: UsbipClient = field(default_factory=lambda: UsbipClient(BUSID))
    device: bytes = DEVICE
    configurations: tuple[bytes, ...] = CONFIGURATIONS

    def commands(self) -> list[Command]:
        """What the client has sent since last time."""
        data = bytes(self.client.outgoing)
        self.client.outgoing.clear()
        found = []
        while data:
            number, seqnum, devid, direction, endpoint = struct.unpack_from(">IIIII", data)
            command = Command(number, seqnum, devid, direction, endpoint, data[20:48])
            data = data[48:]
            if command.command == 1 and not command.direction:
                command.data, data = data[: command.length], data[command.length :]
            found.append(command)
        return found

    def say(self, data: bytes) -> Events:
        """What the client makes of bytes."""
        return list(self.client.receive(data))

    def imported(
        self, *, busid: bytes = BUSID.encode(), speed: int = 3, status: int = 0, version: int = 0x111
    ) -> bytes:
        """The reply to an import."""
        device = struct.pack(">256s32sIIIHHHBBBBBB", b"/sys/x", busid, 3, 7, speed, 0x1209, 4, 0x100, 0, 0, 0, 1, 2, 1)
        return struct.pack(">HHI", version, 3, status) + (b"" if status else device)

    def ret(self, command: Command, data: bytes = b"", status: int = 0, actual: int | None = None) -> bytes:
        """RET_SUBMIT."""
        length = len(data) if actual is None else actual
        return HEAD.pack(3, command.seqnum, 0, 0, 0, status, length, 0, 0, 0) + data

    def ret_unlink(self, command: Command, status: int) -> bytes:
        """RET_UNLINK."""
        return HEAD.pack(4, command.seqnum, 0, 0, 0, status, 0, 0, 0, 0)

    def descriptor(self, command: Command) -> bytes:
        """What a device answers to GET_DESCRIPTOR."""
        assert (command.command, command.endpoint, command.direction, command.flags) == (1, 0, 1, 0x200)
        kind, request, index, which, _, wanted = struct.unpack("<BBBBHH", command.setup)
        assert (kind, request, wanted) == (0x80, 6, command.length)
        return (self.device if which == 1 else self.configurations[index])[:wanted]

    def attach(self) -> HostDescription:
        """Everything up to the device's being there."""
        assert bytes(self.client.outgoing) == b"\x01\x11\x80\x03\0\0\0\0" + BUSID.encode().ljust(32, b"\0")
        self.client.outgoing.clear()
        events = self.say(self.imported())
        while not events:
            (command,) = self.commands()
            assert (command.devid, command.packets) == (3 << 16 | 7, -1)
            events = self.say(self.ret(command, self.descriptor(command)))
        (description,) = events
        assert isinstance(description, HostDescription)
        return description

    def submit(self, request: HostSubmit) -> Command:
        """A transfer that goes out."""
        assert self.client.submit(request) == 0
        (command,) = self.commands()
        return command


@pytest.fixture
def server() -> Server:
    server = Server()
    server.attach()
    return server


def test_a_device_is_imported_and_describes_itself() -> None:
    assert Server().attach() == HostDescription(HostSpeed.HIGH, DEVICE, b"".join(CONFIGURATIONS))


def test_transfers_go_out_as_the_specification_says_and_come_back_in_any_order(server: Server) -> None:
    bulk = server.submit(HostSubmit(70, 2, inbound=False, length=5, data=b"hello"))
    assert (bulk.command, bulk.devid, bulk.direction, bulk.endpoint) == (1, 3 << 16 | 7, 0, 2)
    assert (bulk.flags, bulk.length, bulk.packets, bulk.interval, bulk.data) == (0, 5, -1, 0, b"hello")
    poll = server.submit(HostSubmit(71, 1, inbound=True, length=8))
    assert (poll.direction, poll.endpoint, poll.flags, poll.length, poll.interval) == (1, 1, 0x200, 8, 8)
    setup = bytes((0x40, 1, 2, 0, 0, 0, 3, 0))
    control = server.submit(HostSubmit(72, 0, inbound=False, setup=setup, length=3, data=b"abc"))
    assert (control.setup, control.data) == (setup, b"abc")
    assert server.say(server.ret(control, actual=3)) == [HostCompletion(72, 0, 3)]
    assert server.say(server.ret(poll, b"\1\2")) == [HostCompletion(71, 0, 2, b"\1\2")]
    assert server.say(server.ret(bulk, status=-errno.EPIPE)) == [HostCompletion(70, -errno.EPIPE)]


def test_every_command_has_a_number_of_its_own(server: Server) -> None:
    server.client._seqnum = 0xFFFF_FFFE
    numbers = [server.submit(HostSubmit(tag, 1, inbound=True, length=8)).seqnum for tag in range(3)]
    assert numbers == [0xFFFF_FFFF, 1, 2]


def test_bytes_may_come_in_any_pieces() -> None:
    whole, bytewise = Server(), Server()
    assert whole.attach() == bytewise.attach()
    for server in (whole, bytewise):
        answers = b"".join(
            server.ret(server.submit(HostSubmit(tag, 1, inbound=True, length=8)), bytes((tag,)) * tag)
            for tag in range(8)
        )
        pieces = [answers] if server is whole else [bytes((byte,)) for byte in answers]
        events = [event for piece in pieces for event in server.say(piece)]
        assert events == [HostCompletion(tag, 0, tag, bytes((tag,)) * tag) for tag in range(8)]


def test_an_unlinked_transfer_is_ended_by_the_server_and_nobody_hears_of_it(server: Server) -> None:
    command = server.submit(HostSubmit(5, 1, inbound=True, length=8))
    server.client.unlink(5)
    server.client.unlink(5)
    server.client.unlink(999)
    (unlink,) = server.commands()
    assert (unlink.command, unlink.devid, struct.unpack_from(">I", unlink.rest)[0]) == (2, 3 << 16 | 7, command.seqnum)
    again = server.submit(HostSubmit(5, 1, inbound=True, length=8))
    assert server.say(server.ret_unlink(unlink, -errno.ECONNRESET)) == []
    assert server.say(server.ret(again, b"x")) == [HostCompletion(5, 0, 1, b"x")]


@pytest.mark.parametrize("crossing", ["before", "after"])
def test_the_end_of_a_transfer_may_cross_its_unlinking(server: Server, crossing: str) -> None:
    command = server.submit(HostSubmit(5, 1, inbound=True, length=8))
    server.client.unlink(5)
    (unlink,) = server.commands()
    answers = [server.ret(command, b"late"), server.ret_unlink(unlink, 0)]
    if crossing == "after":
        answers.reverse()
    assert server.say(b"".join(answers)) == []
    assert server.say(server.ret(server.submit(HostSubmit(6, 1, inbound=True, length=8)))) == [HostCompletion(6)]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Server().imported(status=1), "does not give device 1-1.4 away .status 1."),
        (Server().imported(busid=b"9-9"), "gives device '9-9' where 1-1.4 was asked for"),
        (Server().imported(busid=b"\xff" * 32), "gives device"),
        (Server().imported(speed=0), "has speed 0, which is none"),
        (Server().imported(speed=77), "has speed 77"),
        (Server().imported(version=0x200), "not as a USB/IP server does"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not as a USB/IP server does"),
        (bytes(400), "not as a USB/IP server does"),
    ],
)
def test_a_server_that_does_not_give_the_device_is_named(reply: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        Server().say(reply)


@pytest.mark.parametrize(
    ("device", "configurations", "says"),
    [
        (DEVICE[:17], CONFIGURATIONS, "device descriptor of 17 bytes"),
        (b"\x12\x02" + DEVICE[2:], CONFIGURATIONS, "device descriptor of 18 bytes that begins 1202"),
        (DEVICE[:17] + b"\0", CONFIGURATIONS, "0 configurations"),
        (DEVICE[:17] + b"\xff", CONFIGURATIONS, "255 configurations"),
        (DEVICE, (b"\x09\x02\x08\0" + bytes(5), b""), "a configuration of 8 bytes"),
        (DEVICE, (b"\x09\x04\x20\0" + bytes(5), b""), "configuration descriptor of 9 bytes that begins 0904"),
        (DEVICE, (b"", b""), "configuration descriptor of 0 bytes that begins nowhere"),
        (DEVICE, (CONFIGURATIONS[0][:-1], b""), "31 of 32 bytes of configuration 0"),
        (
            DEVICE,
            (b"\x09\x02\xff\xff" + bytes(0xFFFB), b"\x09\x02\x10\0" + bytes(12)),
            "9 of 16 bytes of configuration 1",
        ),
    ],
)
def test_a_device_that_describes_itself_wrongly_is_not_taken(
    device: bytes, configurations: tuple[bytes, ...], says: str
) -> None:
    with pytest.raises(ProtocolError, match=says):
        Server(device=device, configurations=configurations).attach()


def test_a_device_that_does_not_describe_itself_is_not_taken() -> None:
    server = Server()
    server.client.outgoing.clear()
    server.say(server.imported())
    (command,) = server.commands()
    with pytest.raises(ProtocolError, match=r"does not describe itself \(status -32"):
        server.say(server.ret(command, status=-32))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda s, c: s.ret(c, bytes(9)), "9 of 8 bytes"),
        (lambda s, c: s.ret(c, actual=0xFFFF_FFFF - (1 << 32)), "4294967295 of 8 bytes"),
        (lambda s, c: s.ret(c, status=5), "0 of 8 bytes with status 5"),
        (lambda s, c: s.ret(c, status=-5000), "with status -5000"),
        (lambda s, c: s.ret_unlink(c, 0), "is not of its kind"),
        (lambda _, c: HEAD.pack(7, c.seqnum, 0, 0, 0, 0, 0, 0, 0, 0), "a message with command 7"),
        (lambda _, c: HEAD.pack(3, c.seqnum + 1, 0, 0, 0, 0, 0, 0, 0, 0), "which was not sent"),
        (lambda _, c: HEAD.pack(4, c.seqnum + 1, 0, 0, 0, 0, 0, 0, 0, 0), "which was not sent"),
        (lambda s, c: s.ret(c) + s.ret(c), "which was not sent"),
    ],
)
def test_a_liar_is_found_out(server: Server, reply: object, says: str) -> None:
    command = server.submit(HostSubmit(1, 1, inbound=True, length=8))
    with pytest.raises(ProtocolError, match=says):
        server.say(reply(server, command))  # type: ignore[operator]


def test_a_transfer_that_cannot_be_is_not_sent(server: Server) -> None:
    refused = [
        (HostSubmit(1, 16, inbound=True, length=8), errno.EINVAL),
        (HostSubmit(1, 1, inbound=True, length=HOST_TRANSFER_BYTES + 1), errno.EINVAL),
        (HostSubmit(1, 2, inbound=False, length=3, data=b"ab"), errno.EINVAL),
        (HostSubmit(1, 1, inbound=True, length=3, data=b"abc"), errno.EINVAL),
        (HostSubmit(1, 3, inbound=True, length=3), errno.EOPNOTSUPP),
    ]
    for request, error in refused:
        assert server.client.submit(request) == error
    assert server.commands() == []
    server.submit(HostSubmit(1, 1, inbound=True, length=8))
    assert server.client.submit(HostSubmit(1, 1, inbound=True, length=8)) == errno.EINVAL
    assert UsbipClient("1-1").submit(HostSubmit(1, 1, inbound=True, length=8)) == errno.ENODEV


def test_a_server_that_never_answers_is_given_no_more_than_so_much(server: Server) -> None:
    for tag in range(MOST_UNANSWERED):
        assert server.client.submit(HostSubmit(tag, 1, inbound=True, length=8)) == 0
    assert server.client.submit(HostSubmit(5000, 1, inbound=True, length=8)) == errno.EBUSY
    for tag in range(MOST_UNANSWERED):
        server.client.unlink(tag)
    assert server.client.submit(HostSubmit(5000, 1, inbound=True, length=8)) == errno.EBUSY
    unlinks = server.commands()[MOST_UNANSWERED:]
    server.say(server.ret_unlink(unlinks[0], -errno.ECONNRESET))
    server.say(server.ret_unlink(unlinks[1], -errno.ECONNRESET))
    assert len(server.client._unanswered) == 2 * MOST_UNANSWERED - 4


def test_a_server_that_does_not_read_is_sent_no_more_than_so_much(server: Server) -> None:
    data = bytes(HOST_TRANSFER_BYTES)
    results = [server.client.submit(HostSubmit(t, 2, inbound=False, length=len(data), data=data)) for t in range(64)]
    assert results.count(0) == 31
    assert set(results[31:]) == {errno.EBUSY}
    assert len(server.client.outgoing) <= MOST_UNSENT_BYTES + 64 * 48


def test_intervals_are_counted_as_linux_does() -> None:
    configuration = b"".join(bytes((7, 5, 0x81 + n, 3, 8, 0, value)) for n, value in enumerate((0, 1, 4, 16, 255)))
    intervals = [endpoint.interval for endpoint in endpoints(configuration, HostSpeed.HIGH).values()]
    assert intervals == [1, 1, 8, 1 << 15, 1 << 15]
    intervals = [endpoint.interval for endpoint in endpoints(configuration, HostSpeed.FULL).values()]
    assert intervals == [1, 1, 4, 16, 255]


@given(data=st.binary(max_size=300), speed=st.integers(0, 10))
def test_no_configuration_is_too_strange_to_be_looked_through(data: bytes, speed: int) -> None:
    found = endpoints(data, speed)
    assert all(endpoint.interval > 0 for endpoint in found.values())


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=600), cuts=st.lists(st.integers(0, 600), max_size=4), attached=st.booleans())
def test_rubbish_is_refused_and_nothing_worse(data: bytes, cuts: list[int], attached: bool) -> None:
    server = Server()
    if attached:
        server.attach()
        server.submit(HostSubmit(1, 1, inbound=True, length=64))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    try:
        for start, end in itertools.pairwise(edges):
            for event in server.say(data[start:end]):
                assert isinstance(event, HostCompletion)
                assert event.tag == 1
    except ProtocolError as error:
        assert str(error)  # noqa: PT017 - either way is right
    assert len(server.client._incoming) <= len(data)


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 3000), value=st.integers(0, 255), answered=st.integers(0, 6))
def test_one_wrong_byte_never_gives_a_transfer_that_was_not_asked_for(position: int, value: int, answered: int) -> None:
    server = Server()
    server.client.outgoing.clear()
    stream = server.imported()
    server.say(stream)
    honest = [stream]
    while not server.client.attached:
        (command,) = server.commands()
        honest.append(server.ret(command, server.descriptor(command)))
        server.say(honest[-1])
    commands = [server.submit(HostSubmit(tag, 1, inbound=True, length=8)) for tag in range(answered)]
    honest += [server.ret(command, b"data") for command in commands]
    spoiled = bytearray(b"".join(honest))
    spoiled[position % len(spoiled)] = value
    liar = Server()
    tags: list[int] = []
    try:
        for byte in spoiled:
            for event in liar.say(bytes((byte,))):
                if isinstance(event, HostDescription):
                    for tag in range(answered):
                        liar.client.submit(HostSubmit(tag, 1, inbound=True, length=8))
                else:
                    assert len(event.data) <= 8
                    tags.append(event.tag)
    except ProtocolError as error:
        assert str(error)  # noqa: PT017 - either way is right
    assert len(tags) == len(set(tags))
    assert set(tags) <= set(range(answered))
