"""Entropy in the Debian guest: it comes from outside, is written down, and is the same at every replay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from machine.codec import decode
from machine.message import DmaWrite, Entropy
from machine.recording.reader import Recording
from tests.harness.guests import shell_script
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(240)]

BYTES = 4096
COMMANDS = (
    "cat /sys/class/misc/hw_random/rng_current",
    "dd if=/dev/hwrng bs=64 count=64 iflag=fullblock 2>/dev/null | hexdump -ve '1/1 \"%02x\"'; echo .",
)


def record(home: Home, source: str, name: str) -> Path:
    script = home.script(shell_script(*COMMANDS), f"{name}.txt")
    return home.record("--memory", "128M", "--sleep", "off", "--rng", source, "--serial", script, name=name)


def drawn(recording: Path) -> bytes:
    """What the guest has read from /dev/hwrng."""
    said = console(recording)
    assert b"virtio_rng.0" in said
    found = re.search(rb"([0-9a-f]{%d})\." % (2 * BYTES), said)
    assert found, said[-2000:]
    return bytes.fromhex(found[1].decode())


def given(recording: Path) -> list[bytes]:
    """What came from outside."""
    messages = (decode(frame.type, frame.payload) for frame in Recording.open(recording).frames())
    return [message.data for message in messages if isinstance(message, Entropy)]


def test_the_hosts_entropy_reaches_the_guest_and_every_replay_draws_the_same(home: Home) -> None:
    recording = record(home, "host", "a")
    data, inputs = drawn(recording), given(recording)
    assert len(set(data)) > 200
    assert data in b"".join(inputs)
    stores = [decode(f.type, f.payload) for f in Recording.open(recording).frames()]
    written = {message.data for message in stores if isinstance(message, DmaWrite)}
    assert set(inputs) <= written
    home.verify_both_ways(recording)


def test_a_seed_draws_the_same_in_every_recording(home: Home) -> None:
    first, again, other = (drawn(record(home, f"seed={n}", name)) for n, name in ((5, "a"), (5, "b"), (6, "c")))
    assert first == again != other
