"""From a name and options to a resolved board."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from deploy import resolve
from deploy.devices import DeviceWords
from deploy.resolve import MachineOptions, resolve_board
from machine.board import MIB, parse_board, render_board
from machine.errors import BoardError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "Image"
    path.write_bytes(b"kernel")
    return path


@pytest.fixture
def built_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    files = tmp_path / "linux", tmp_path / "initrd"
    for file in files:
        file.write_bytes(b"x")
    monkeypatch.setattr(resolve, "find_guest", lambda _cache: SimpleNamespace(kernel=files[0], initrd=files[1]))
    return files


def test_the_default_board_runs_the_built_guest(built_guest: tuple[Path, Path], tmp_path: Path) -> None:
    board = resolve_board("debian", MachineOptions(), tmp_path)
    assert (board.kernel, board.initrd) == tuple(map(str, built_guest))


def test_a_guest_that_is_not_built_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run: make guest"):
        resolve_board("debian", MachineOptions(), tmp_path)


def test_a_kernel_of_ones_own_drops_the_boards_initrd(built_guest: tuple[Path, Path], kernel: Path) -> None:
    board = resolve_board("debian", MachineOptions(kernel=str(kernel)), kernel.parent)
    assert (board.kernel, board.initrd, board.guest) == (str(kernel), "", "")
    assert board.kernel not in map(str, built_guest)


def test_an_initrd_of_ones_own_keeps_the_boards_kernel(built_guest: tuple[Path, Path], kernel: Path) -> None:
    board = resolve_board("debian", MachineOptions(initrd=str(kernel)), kernel.parent)
    assert (board.kernel, board.initrd) == (str(built_guest[0]), str(kernel))


def test_options_replace_what_the_board_says(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kernel.parent)
    options = MachineOptions("Image", None, "quiet", "1G", "off", DeviceWords(serial=("file:out.txt",)))
    board = resolve_board("bare", options, kernel.parent)
    assert board.kernel == str(kernel)
    assert (board.append, board.memory, board.sleep) == ("quiet", 1024 * MIB, False)
    assert board.device("serial0").backend == f"file:{kernel.parent}/out.txt"
    assert parse_board(render_board(board), "again") == board


def test_a_board_file_may_lie_anywhere_and_its_paths_start_there(kernel: Path) -> None:
    file = kernel.parent / "mine.toml"
    file.write_text('[machine]\nname = "mine"\nkernel = "Image"\n')
    assert resolve_board(str(file), MachineOptions(), kernel.parent).kernel == str(kernel)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("nothing", {}, "there is no board nothing: take one of bare, debian"),
        ("./nothing.toml", {}, "cannot read the board"),
        ("bare", {}, "has no kernel; give one with --kernel"),
        ("bare", {"kernel": "gone"}, "gone: cannot read the kernel: No such file"),
        ("bare", {"kernel": "empty"}, "empty: the kernel is empty"),
        ("bare", {"kernel": "."}, r"cannot read the kernel: Is a directory"),
        ("bare", {"kernel": "Image", "initrd": "empty"}, "empty: the initrd is empty"),
        ("bare", {"kernel": "Image\0"}, "cannot read the kernel"),
        ("bare", {"kernel": "Image", "memory": "lots"}, "memory size 'lots'"),
        ("bare", {"kernel": "Image", "memory": "1M"}, "machine.memory"),
        ("bare", {"kernel": "Image", "devices": DeviceWords(input=("joystick",))}, "'joystick' is none of kbd"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    kernel: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, str], error: str
) -> None:
    monkeypatch.chdir(kernel.parent)
    (kernel.parent / "empty").touch()
    with pytest.raises((UsageError, BoardError), match=error) as caught:
        resolve_board(name, MachineOptions(**options), kernel.parent)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_only_one_device_can_have_the_terminal(kernel: Path) -> None:
    options = MachineOptions("Image", devices=DeviceWords(serial=("stdio", "mon:stdio")))
    with pytest.raises(UsageError, match="serial0 and serial1 both want the terminal"):
        resolve_board("bare", replace(options, kernel=str(kernel)), kernel.parent)


@pytest.mark.parametrize(
    ("kind", "word"), [("rng", "dice"), ("rng", "seed="), ("rtc", "fixed:soon"), ("rtc", "now"), ("rtc", "fixed:")]
)
def test_a_boards_word_for_the_broker_is_refused_by_name(kernel: Path, kind: str, word: str) -> None:
    file = kernel.parent / "mine.toml"
    device = f'[[device]]\nname = "d0"\nkind = "{kind}"\naddress = 0x101000\nirq = 1\nbackend = "{word}"\n'
    file.write_text(f'[machine]\nname = "mine"\nkernel = "Image"\n{device}')
    with pytest.raises(BoardError, match=rf"device.d0.backend: '{word}' is neither host nor"):
        resolve_board(str(file), MachineOptions(), kernel.parent)
