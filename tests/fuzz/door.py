"""`python -m tests.fuzz.door -runs=N`: atheris at the broker's door and at the codec."""

from __future__ import annotations

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["machine", "replay_broker"]):
    from machine.codec import MESSAGES, decode, decode_frame
    from machine.errors import RemoteWireError
    from machine.port import frames_of
    from tests.fuzz.door_stage import LIMIT, DoorStage


def knock(data: bytes) -> None:
    """One input: some parts from a stranger, some of them a header of ours, and a payload for each decoder."""
    source = atheris.FuzzedDataProvider(data)
    parts = [source.ConsumeBytes(source.ConsumeIntInRange(0, 64)) for _ in range(source.ConsumeIntInRange(0, 6))]
    with suppress(RemoteWireError):
        for frame in frames_of(parts):
            decode(frame.type, frame.payload)
    number = source.PickValueInList(list(MESSAGES))
    payload = source.ConsumeBytes(256)
    with suppress(RemoteWireError):
        decode(number, payload)
    with suppress(RemoteWireError):
        decode_frame(payload[:20], payload)
    STAGE.knock(b"stranger", parts)
    STAGE.knock(b"stranger", (bytes((24, number)), payload))
    assert STAGE.unharmed()
    assert STAGE.sockets.told.get(b"stranger", 0) <= LIMIT


STAGE = DoorStage()

if __name__ == "__main__":
    atheris.Setup(sys.argv, knock)
    atheris.Fuzz()
