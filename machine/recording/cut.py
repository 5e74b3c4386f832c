"""Where a recording begins that was cut out of another: the [recording.cut] table of machine.toml."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields
from typing import Final

from machine.errors import LogError
from machine.recording.place import Place, Point

_CHAIN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Cut:
    """What was there before the first message, and which snapshot the machine begins in.

    `of` is the id of the recording it was cut of; `seq`, `icount`, `inputs`, `chain` (in hex) those of the last message
    left out; `idle_ns` what the guest had slept; `snapshot` the number of the snapshot, 0 for power-on; `begin` the
    instruction count there; `end` the instruction it was cut behind.
    """

    of: str
    seq: int
    icount: int
    inputs: int
    idle_ns: int
    chain: str
    snapshot: int
    begin: int
    end: int

    @property
    def point(self) -> Point:
        """The point in front of the first message."""
        chain = bytes.fromhex(self.chain)
        return Point(Place(0, self.seq, self.icount, chain), self.seq, self.inputs, chain)


def parse_cut(table: object, source: str) -> Cut | None:
    """The cut in a parsed [recording] table's `cut`, None for a recording that begins at power-on; LogError."""
    if table is None:
        return None
    if not isinstance(table, dict):
        raise LogError(f"{source}: recording.cut: write it as a table")
    values: dict[str, typing.Any] = {}
    kinds: dict[str, type] = {"of": str, "chain": str}
    for field in fields(Cut):
        value = table.get(field.name)
        kind = kinds.get(field.name, int)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise LogError(f"{source}: recording.cut.{field.name}: missing or not as it should be")
        values[field.name] = value
    try:
        chain = bytes.fromhex(values["chain"])
    except ValueError:
        chain = b""
    if len(chain) != _CHAIN_BYTES:
        raise LogError(f"{source}: recording.cut.chain: not {_CHAIN_BYTES} bytes in hex")
    return Cut(**values)
