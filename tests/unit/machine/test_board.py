"""The board: what is written out reads the same, and what is wrong is named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.board import GIB, MIB, Board, DeviceSlot, parse_board, parse_size, render_board
from machine.errors import BoardError

WHOLE = """
[machine]
name = "m"
memory = "64M"
sleep = "off"

[[device]]
name = "serial0"
kind = "serial"
address = 0x10000000
irq = 10
compatible = ["ns16550a"]
properties = { clock-frequency = 3686400, cells = [1, 2], label = "x" }

[[device]]
name = "rtc0"
kind = "rtc"
address = 0x101000
irq = 11
"""

text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
properties = st.dictionaries(
    text, st.integers(0, 2**32 - 1) | text | st.lists(st.integers(0, 9), max_size=3).map(tuple), max_size=3
).map(lambda table: tuple(sorted(table.items())))


@st.composite
def boards(draw: st.DrawFn) -> Board:
    slots = tuple(
        DeviceSlot(
            f"dev{n}",
            draw(text),
            0x1000_0000 + n * 0x1_0000,
            draw(st.sampled_from([0, n + 1])),
            draw(st.integers(1, 0x1_0000)),
            draw(text),
            tuple(draw(st.lists(text, max_size=2))),
            draw(properties),
        )
        for n in range(draw(st.integers(0, 3)))
    )
    names = {key: draw(text) for key in ("name", "cpu", "guest", "kernel", "initrd", "append")}
    memory = draw(st.integers(16 * MIB // 4096, 4 * GIB // 4096)) * 4096
    return Board(memory=memory, shift=draw(st.integers(0, 10)), sleep=draw(st.booleans()), devices=slots, **names)


@given(board=boards())
@settings(max_examples=60, deadline=None)
def test_a_board_written_out_reads_the_same(board: Board) -> None:
    assert parse_board(render_board(board), "rendered") == board


def test_every_value_of_a_board_file_is_taken() -> None:
    board = parse_board(WHOLE, "m.toml")
    assert (board.name, board.memory, board.sleep) == ("m", 64 * MIB, False)
    serial = board.device("serial0")
    assert (serial.address, serial.irq, serial.compatible) == (0x1000_0000, 10, ("ns16550a",))
    assert serial.properties == (("cells", (1, 2)), ("clock-frequency", 3686400), ("label", "x"))


def test_the_boards_we_ship_are_good() -> None:
    files = sorted((Path(__file__).parents[3] / "deploy" / "boards").glob("*.toml"))
    assert [parse_board(file.read_text(), str(file)).name for file in files] == [file.stem for file in files]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("[machine]", "[machine", "not TOML"),
        ("[machine]", "[engine]", "machine: the .machine. table is missing"),
        ('name = "m"', "", r"machine\.name: missing"),
        ('name = "m"', "name = 5", r"machine\.name: 5 is not a string"),
        ('name = "m"', 'name = "m"\ncolour = 1', r"machine\.colour: unknown key \(known: .*append"),
        ('"64M"', '"lots"', "'lots'"),
        ('"64M"', '"1M"', r"machine\.memory: 1048576 bytes"),
        ('"64M"', "true", r"machine\.memory: True is not a whole number"),
        ('"off"', '"maybe"', r"machine\.sleep: 'maybe' is neither on nor off"),
        ('sleep = "off"', "shift = 11", r"machine\.shift: 11 is not 0 to 10"),
        ("irq = 10", 'irq = "10"', r"device\.serial0\.irq: '10' is not a whole number"),
        ("irq = 10", "irq = 32", r"device\.serial0\.irq: 32 is not 0"),
        ("irq = 11", "irq = 10", r"device\.rtc0\.irq: 10 is already serial0's"),
        ("irq = 11", "line = 11", r"device\.rtc0\.line: unknown key"),
        ("address = 0x101000", "", r"device\.rtc0\.address: missing"),
        ("0x101000", "0x100000", r"device\.rtc0\.address: 0x100000 overlaps test"),
        ("0x101000", "0x10000000", "overlaps serial0 at 0x10000000"),
        ("0x101000", "0x80000000", "overlaps memory"),
        ("0x101000", "0x101004", "is not a window of whole pages"),
        ('"rtc0"', '"serial0"', r"device\.serial0\.name: used twice"),
        ('"rtc0"', '"cpu"', r"device\.cpu\.name: the cpu is there without being named"),
        ('"rtc0"', '"RTC 0"', "a name is small letters"),
        ("3686400", "1.5", r"device\.serial0\.properties\.clock-frequency: 1.5"),
        ("[1, 2]", '[1, "2"]', r"properties\.cells: '2' is not a whole number"),
        ("3686400", "4294967296", r"properties\.clock-frequency: 4294967296 is not 0 to 4294967295"),
        ("[1, 2]", "[1, -1]", r"properties\.cells: -1 is not 0 to 4294967295"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(old: str, new: str, error: str) -> None:
    assert old in WHOLE
    with pytest.raises(BoardError, match=error) as caught:
        parse_board(WHOLE.replace(old, new), "dir/m.toml")
    assert caught.value.exit_code == 2
    if "lots" not in new:
        assert str(caught.value).startswith("dir/m.toml: ")


def test_devices_must_be_a_row_of_tables() -> None:
    with pytest.raises(BoardError, match=r"write each device as a \[\[device\]\] table"):
        parse_board('device = 3\n[machine]\nname = "m"\n', "m.toml")


@pytest.mark.parametrize(
    ("words", "size"), [("512M", 512 * MIB), ("2G", 2 * GIB), ("65536k", 64 * MIB), ("128", 128 * MIB)]
)
def test_sizes_are_in_qemus_words(words: str, size: int) -> None:
    assert parse_size(words) == size


@pytest.mark.parametrize("words", ["", "lots", "9" * 5000])
def test_a_size_that_is_none_is_named_with_file_and_key(words: str) -> None:
    with pytest.raises(BoardError, match=r"^m\.toml: machine\.memory: memory size"):
        parse_board(f'[machine]\nname = "m"\nmemory = "{words}"\n', "m.toml")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(BoardError, match="board m has no device nic0"):
        parse_board(WHOLE, "m.toml").with_backend("nic0", "null")
