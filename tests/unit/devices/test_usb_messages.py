"""What the controller and its backend say to each other comes out as it went in, and nothing else comes out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.usb import messages as u

if TYPE_CHECKING:
    from collections.abc import Callable

PORTS = st.integers(1, u.PORTS)
TAGS = st.integers(0, (1 << 32) - 1)
DATA = st.binary(max_size=64)
DISKS = st.tuples(st.sampled_from(u.BLOCK_SIZES), st.integers(1, u.MOST_BLOCKS), st.booleans()).map(
    lambda t: u.StorageDescription(t[0] * t[1], t[0], t[2])
)
HOSTS = st.builds(u.HostDescription, st.sampled_from([int(speed) for speed in u.HostSpeed]), DATA, DATA)
PLUGGED = st.one_of(
    st.builds(u.Plugged, PORTS, st.sampled_from([u.Kind.KEYBOARD, u.Kind.MOUSE, u.Kind.SERIAL])),
    st.builds(u.Plugged, PORTS, st.just(u.Kind.STORAGE), DISKS),
    st.builds(u.Plugged, PORTS, st.just(u.Kind.HOST), HOSTS),
)
REQUESTS = st.builds(
    u.StorageRequest, TAGS, st.sampled_from(u.StorageOperation), st.integers(0, (1 << 64) - 1), TAGS, DATA
)
SUBMITS = st.builds(
    u.HostSubmit, TAGS, st.integers(0, 15), st.booleans(), st.binary(min_size=8, max_size=8), TAGS, DATA
)
STATUSES = st.integers(-(1 << 31), (1 << 31) - 1)
DECODERS = (
    u.decode_plugged,
    u.decode_unplugged,
    u.decode_data,
    u.decode_storage_request,
    u.decode_storage_completion,
    u.decode_host_request,
    u.decode_host_completion,
)


@given(PLUGGED)
def test_a_description_comes_back(message: u.Plugged) -> None:
    assert u.decode_plugged(u.encode_plugged(message)) == message


@given(PORTS, st.sampled_from(u.What), DATA)
def test_what_a_port_says_comes_back(port: int, what: u.What, data: bytes) -> None:
    assert u.decode_unplugged(u.encode_unplugged(port)) == port
    assert u.decode_data(u.encode_data(u.PortData(port, what, data))) == u.PortData(port, what, data)


@given(PORTS, REQUESTS, st.builds(u.StorageCompletion, TAGS, TAGS, DATA))
def test_a_disks_requests_and_completions_come_back(
    port: int, request: u.StorageRequest, completion: u.StorageCompletion
) -> None:
    data = u.encode_storage_request(port, request)
    assert data[0] == port
    assert u.decode_storage_request(data) == request
    assert u.decode_storage_completion(u.encode_storage_completion(completion)) == completion


@given(
    PORTS, st.one_of(SUBMITS, st.builds(u.HostUnlink, TAGS)), st.builds(u.HostCompletion, TAGS, STATUSES, TAGS, DATA)
)
def test_transfers_of_a_device_from_outside_come_back(
    port: int, request: u.HostSubmit | u.HostUnlink, completion: u.HostCompletion
) -> None:
    data = u.encode_host_request(port, request)
    assert data[0] == port
    assert u.decode_host_request(data) == request
    assert u.decode_host_completion(u.encode_host_completion(completion)) == completion


@given(st.sampled_from(DECODERS), st.binary(max_size=80))
def test_other_bytes_are_refused_or_understood_and_nothing_else(decode: Callable[[bytes], object], data: bytes) -> None:
    with suppress(u.MalformedMessage):
        assert decode(data) is not None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no port"),
        (b"\0\1", "no port"),
        (bytes((u.PORTS + 1, 1)), "no port"),
        (b"\1", "no Kind"),
        (b"\1\x09", "no Kind"),
        (b"\1\1\0", "1 bytes behind a KEYBOARD"),
        (b"\1\3\0", "1 bytes describe a disk"),
        (b"\1\3" + bytes(13), "a disk of 0 bytes in blocks of 0"),
        (b"\1\3" + (513).to_bytes(8, "little") + b"\0\2\0\0\0", "a disk of 513 bytes"),
        (b"\1\5\4", "no speed"),
        (b"\1\5\3\2", "1 bytes where 2 belong"),
        (b"\1\5\3\2\0a", "a descriptor of 1 bytes, not 2"),
        (b"\1\5\3\1\0a\0\0b", "1 bytes behind the descriptors"),
    ],
)
def test_a_wrong_description_is_refused_by_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(u.MalformedMessage, match=says):
        u.decode_plugged(data)
