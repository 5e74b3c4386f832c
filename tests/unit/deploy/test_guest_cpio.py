"""The newc archive: what is written is what is read, and the bytes depend on the content only."""

import stat
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.guest import cpio
from deploy.guest.errors import CpioError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
ENTRIES = st.lists(
    st.builds(
        cpio.Entry,
        name=NAMES.filter(lambda name: name != cpio.TRAILER),
        mode=st.integers(0, 0xFFFF),
        data=st.binary(max_size=50),
        major=st.integers(0, 4095),
        minor=st.integers(0, 0xFFFFF),
    ),
    max_size=8,
    unique_by=lambda entry: entry.name,
)


@given(ENTRIES)
def test_what_is_written_is_read_back_in_the_order_of_names(entries: list[cpio.Entry]) -> None:
    expected = sorted(entries, key=lambda entry: entry.name.encode())
    assert list(cpio.read(cpio.write(entries))) == expected


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_change_the_bytes(entries: list[cpio.Entry], random: Random) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert cpio.write(shuffled) == cpio.write(entries)


@given(ENTRIES, st.data())
def test_a_cut_archive_is_an_error_wherever_it_is_cut(entries: list[cpio.Entry], data: st.DataObject) -> None:
    archive = cpio.write(entries)
    # The last bytes only fill the trailer's name up to a multiple of four.
    cut = data.draw(st.integers(0, len(archive) - 8))
    with pytest.raises(CpioError):
        list(cpio.read(archive[:cut]))


def test_the_bytes_are_those_linux_documents() -> None:
    archive = cpio.write([cpio.character_device("dev/console", 5, 1, 0o600)])
    assert archive[:124] == (
        b"070701" b"00000001" b"00002180" b"00000000" b"00000000" b"00000001" b"00000000"
        b"00000000" b"00000000" b"00000000" b"00000005" b"00000001" b"0000000c" b"00000000"
        b"dev/console\0" b"\0\0"
    )  # fmt: skip


def test_a_directory_stands_before_what_is_in_it() -> None:
    entries = [cpio.regular("a/b", b""), cpio.regular("a-", b""), cpio.directory("a")]
    names = [entry.name for entry in cpio.read(cpio.write(entries))]
    assert names == ["a", "a-", "a/b"]


def test_each_kind_of_entry_has_its_file_type() -> None:
    assert stat.S_ISDIR(cpio.directory("d").mode)
    assert stat.S_ISREG(cpio.regular("f", b"").mode)
    assert stat.S_ISLNK(cpio.symlink("l", "target").mode)
    assert stat.S_ISCHR(cpio.character_device("c", 1, 3, 0o666).mode)


@pytest.mark.parametrize("broken", [b"", b"junk" * 40, b"070701" + b"z" * 104])
def test_bytes_of_another_kind_are_refused(broken: bytes) -> None:
    with pytest.raises(CpioError, match="not a newc cpio archive"):
        list(cpio.read(broken))
