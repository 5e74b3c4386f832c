"""One file of a recording, and what unpacking refuses."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy.archive import pack, unpack
from machine.errors import ChangedGuest, LogError, MachineError, UsageError
from machine.recording.facts import gather_facts
from machine.recording.files import board_here
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FRAMES

if TYPE_CHECKING:
    from pathlib import Path


def recorded(directory: Path) -> Recording:
    """A recording whose kernel is a file in the directory."""
    kernel = directory / "Image"
    kernel.write_bytes(b"kernel " * 1000)
    board = replace(BOARD, kernel=str(kernel))
    writer = RecordingWriter(directory / "x.dejavm", board, gather_facts(board, 1_700_000_000_000_000_000))
    for frame in FRAMES:
        writer.append(frame, 0)
    writer.finish()
    return Recording.open(directory / "x.dejavm")


def archive(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    """A packed file with members of our own."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as out:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            out.addfile(member, io.BytesIO(data))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path


def test_a_packed_recording_has_all_it_needs_when_the_guest_is_gone(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    pack(recording, tmp_path / "p", thin=False, elsewhere=tuple)
    (tmp_path / "Image").unlink()
    back = unpack(tmp_path / "p", tmp_path / "y.dejavm")
    assert list(back.frames()) == list(FRAMES)
    assert (tmp_path / "y.dejavm/machine.toml").read_bytes() == (tmp_path / "x.dejavm/machine.toml").read_bytes()
    kernel = board_here(back).kernel
    assert kernel.startswith(str(tmp_path / "y.dejavm"))
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "y.dejavm").stat().st_mode & 0o777 == 0o700


def test_the_same_recording_packs_to_the_same_bytes_and_again(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    pack(recording, tmp_path / "p", thin=False, elsewhere=tuple)
    pack(unpack(tmp_path / "p", tmp_path / "y.dejavm"), tmp_path / "q", thin=False, elsewhere=tuple)
    assert (tmp_path / "p").read_bytes() == (tmp_path / "q").read_bytes()


def test_a_thin_one_names_its_files_and_finds_them_by_what_is_in_them(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    pack(recording, tmp_path / "p", thin=True, elsewhere=tuple)
    back = unpack(tmp_path / "p", tmp_path / "y.dejavm")
    elsewhere = (tmp_path / "Image").rename(tmp_path / "another-name")
    with pytest.raises(ChangedGuest, match=recording.facts.files[0].sha256):
        board_here(back)
    assert board_here(back, lambda: (tmp_path / "y.dejavm", elsewhere)).kernel == str(elsewhere)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("../machine.toml", tarfile.REGTYPE), ("/etc/passwd", tarfile.REGTYPE), ("log.mcap", tarfile.SYMTYPE),
     ("files/../log.mcap", tarfile.REGTYPE), ("files/" + "g" * 64, tarfile.REGTYPE), ("log.mcap", tarfile.CHRTYPE)],
)  # fmt: skip
def test_what_does_not_belong_is_refused_and_nothing_is_left(tmp_path: Path, name: str, kind: bytes) -> None:
    with pytest.raises(LogError, match="does not belong"):
        unpack(archive(tmp_path / "p", (name, b""), kind=kind), tmp_path / "y.dejavm")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_guest_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="its sha256 is another"):
        unpack(archive(tmp_path / "p", ("files/" + "0" * 64, b"x")), tmp_path / "y.dejavm")


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="does not belong"):
        unpack(archive(tmp_path / "p", ("log.mcap", b"x"), ("log.mcap", b"y")), tmp_path / "y.dejavm")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    pack(recording, tmp_path / "p", thin=True, elsewhere=tuple)
    with pytest.raises(UsageError, match="exists already"):
        pack(recording, tmp_path / "p", thin=True, elsewhere=tuple)
    with pytest.raises(UsageError, match="exists already"):
        unpack(tmp_path / "p", tmp_path / "x.dejavm")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file"):
        unpack(tmp_path / "p", tmp_path / "y.dejavm")


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7), kept=st.floats(0, 1))
@example(place=0.5, bit=0, kept=0.99963)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_gives_the_whole_recording(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, kept: float
) -> None:
    tmp_path = tmp_path_factory.mktemp("packed")
    pack(recorded(tmp_path), tmp_path / "p", thin=False, elsewhere=tuple)
    packed = bytearray((tmp_path / "p").read_bytes())
    packed[int(place * len(packed))] ^= 1 << bit
    (tmp_path / "p").write_bytes(packed[: round(kept * len(packed))])
    try:
        back = unpack(tmp_path / "p", tmp_path / "y.dejavm")
    except MachineError:
        assert not (tmp_path / "y.dejavm").exists()
    else:
        assert list(back.frames()) == list(FRAMES)


def said(path: Path, name: str, size: int, content: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
    """A packed file whose one header says of its member what we like."""
    header = tarfile.TarInfo(name)
    header.size, header.type = size, kind
    path.write_bytes(zstandard.compress(header.tobuf(tarfile.GNU_FORMAT) + content))
    return path


def test_a_small_file_that_becomes_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.archive._FREE_BYTES", 1 << 22)
    with pytest.raises(LogError, match="which no recording does"):
        unpack(said(tmp_path / "p", "log.mcap", 1 << 40, bytes(1 << 26)), tmp_path / "y.dejavm")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_zeros_without_end_behind_the_last_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.archive._FREE_BYTES", 1 << 22)
    (tmp_path / "p").write_bytes(zstandard.compress(bytes(1 << 26)))
    with pytest.raises(LogError, match="which no recording does"):
        unpack(tmp_path / "p", tmp_path / "y.dejavm")


@pytest.mark.parametrize(
    ("size", "content", "kind"),
    [
        (1 << 33, b"", tarfile.GNUTYPE_LONGNAME),
        (1 << 33, b"", tarfile.XHDTYPE),
        (1 << 33, b"", tarfile.XGLTYPE),
        (512, b"", tarfile.GNUTYPE_SPARSE),
        (-5, b"", tarfile.REGTYPE),
        (20, b"20 GNU.sparse.map=x\n".ljust(1024, b"\0"), tarfile.XHDTYPE),
        (27, b"27 GNU.sparse.size=1000000x\n".ljust(1024, b"\0"), tarfile.XHDTYPE),
        (11, b"11 size=-5\n".ljust(512, b"\0"), tarfile.XHDTYPE),
    ],
)
def test_what_a_tar_says_is_believed_only_where_a_recording_says_it(
    tmp_path: Path, size: int, content: bytes, kind: bytes
) -> None:
    following = tarfile.TarInfo("log.mcap").tobuf() if kind == tarfile.XHDTYPE else b""
    with pytest.raises(LogError):
        unpack(said(tmp_path / "p", "log.mcap", size, content + following, kind), tmp_path / "y.dejavm")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize("name", ["log.mcap", "machine.toml"])
def test_what_a_link_in_a_recording_leads_to_is_not_packed(tmp_path: Path, name: str) -> None:
    recording = recorded(tmp_path)
    (recording.path / name).rename(tmp_path / "elsewhere")
    (recording.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogError, match="is a link"):
        pack(Recording.open(recording.path), tmp_path / "p", thin=True, elsewhere=tuple)
    assert not (tmp_path / "p").exists()


def test_what_unpack_would_take_for_a_bomb_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(tmp_path)
    monkeypatch.setattr("deploy.archive._FREE_BYTES", 1 << 10)
    monkeypatch.setattr("deploy.archive._HIGHEST_RATIO", 2)
    with pytest.raises(UsageError, match="--thin leaves the guest's files out"):
        pack(recording, tmp_path / "p", thin=False, elsewhere=tuple)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Image", "x.dejavm"]


def test_a_pack_that_is_not_there_or_no_file_cannot_be_read(tmp_path: Path) -> None:
    for source in (tmp_path / "none", tmp_path):
        with pytest.raises(LogError, match=f"{source}: cannot read"):
            unpack(source, tmp_path / "y.dejavm")
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_in_a_pack_is_told_of_the_pack(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=f"^{tmp_path / 'p'}/machine.toml: cannot read"):
        unpack(archive(tmp_path / "p"), tmp_path / "y.dejavm")


def test_a_link_to_nowhere_is_a_name_that_exists(tmp_path: Path) -> None:
    recording = recorded(tmp_path)
    pack(recording, tmp_path / "p", thin=False, elsewhere=tuple)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for write in (
        lambda: unpack(tmp_path / "p", tmp_path / "link"),
        lambda: pack(recording, tmp_path / "link", thin=False, elsewhere=tuple),
    ):
        with pytest.raises(UsageError, match="exists already"):
            write()
