"""The messages are said in four places; here they are held together."""

from __future__ import annotations

import re

import pytest

from machine import codec
from machine.wire.v1 import bus_pb2, debug_pb2, frame_pb2, host_pb2, rebuild_pb2, session_pb2, state_pb2, time_pb2
from tests.tidy import generated
from tests.tidy.sources import ROOT
from tests.unit.machine import test_codec

FILES = (bus_pb2, debug_pb2, frame_pb2, host_pb2, rebuild_pb2, session_pb2, state_pb2, time_pb2)
IN_THE_SCHEMAS = tuple(sorted(name for file in FILES for name in file.DESCRIPTOR.message_types_by_name))
ROWS = {wire.DESCRIPTOR.name: cls for cls, wire in codec.MESSAGES.values()}
PARTS = {wire.DESCRIPTOR.name: cls for cls, wire in codec.NESTED.items()}
WIRE_PAGE = (ROOT / "docs" / "wire.md").read_text()


def test_every_schema_file_is_looked_at() -> None:
    assert {path.stem for path in (ROOT / generated.SCHEMAS.join(["proto/", ""])).glob("*.proto")} == {
        file.DESCRIPTOR.name.rpartition("/")[2].removesuffix(".proto") for file in FILES
    }


@pytest.mark.parametrize("name", IN_THE_SCHEMAS)
def test_every_message_of_the_schemas_has_its_row_in_the_codec(name: str) -> None:
    assert name == "Header" or name in ROWS or name in PARTS, "add a row to machine/codec.py"


@pytest.mark.parametrize("name", IN_THE_SCHEMAS)
def test_every_message_of_the_schemas_has_its_section_in_the_wire_page(name: str) -> None:
    assert re.search(rf"^#+ {name}\b", WIRE_PAGE, re.MULTILINE), f"describe {name} in docs/wire.md"


@pytest.mark.parametrize("name", IN_THE_SCHEMAS)
def test_every_message_of_the_schemas_takes_part_in_the_round_trip(name: str) -> None:
    marks: list[pytest.Mark] = getattr(test_codec.test_every_message_comes_back, "pytestmark", [])
    (mark,) = [mark for mark in marks if mark.name == "parametrize"]
    nested = {"Header", *PARTS}
    assert name in nested or ROWS[name] in mark.args[1], "test_every_message_comes_back leaves it out"


def test_the_wire_page_says_every_message_s_number() -> None:
    said = {name: int(number) for name, number in re.findall(r"^#+ (\w+) \((\d+)\)", WIRE_PAGE, re.MULTILINE)}
    assert said == {wire.DESCRIPTOR.name: number for number, (_, wire) in codec.MESSAGES.items()}


def test_the_wire_page_names_every_field() -> None:
    wires = [wire for _, wire in codec.MESSAGES.values()] + list(codec.NESTED.values())
    for wire in wires:
        match = re.search(rf"^#+ {wire.DESCRIPTOR.name}\b(.*?)(?=^#|\Z)", WIRE_PAGE, re.MULTILINE | re.DOTALL)
        assert match is not None
        missing = [field.name for field in wire.DESCRIPTOR.fields if f"`{field.name}`" not in match[1]]
        assert not missing, f"docs/wire.md, {wire.DESCRIPTOR.name}: {', '.join(missing)}"


def test_the_committed_wire_code_is_current() -> None:
    assert generated.main() == 0, "run: make proto"
