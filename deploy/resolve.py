"""From what the command line says to a resolved board: every value written out, every file there."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.devices import NO_WORDS, DeviceWords, check_words, with_devices
from deploy.guest import find_guest
from deploy.placement import Placement, parse_placement
from deploy.plan import uses_terminal
from machine.board import Board, check_board, parse_board, parse_size
from machine.errors import BoardError, UsageError

BOARDS: Final = Path(__file__).parent / "boards"


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """What the command line may say about a machine; None and () leave the board as it is."""

    kernel: str | None = None
    initrd: str | None = None
    append: str | None = None
    memory: str | None = None
    sleep: str | None = None
    devices: DeviceWords = NO_WORDS


def resolve_board(name: str, options: MachineOptions, cache: Path) -> Board:
    """The board of that name or TOML file with the options applied; `cache` is where guests are kept.

    BoardError or UsageError, one line each, if anything is wrong or a file is missing or empty.
    """
    board, home = load_board(name)
    board = _with_guest(board, options, home, cache)
    if options.append is not None:
        board = replace(board, append=options.append)
    if options.memory is not None:
        board = replace(board, memory=parse_size(options.memory))
    if options.sleep is not None:
        board = replace(board, sleep=options.sleep == "on")
    board = with_devices(board, options.devices)
    check_board(board, "command line")
    check_words(board)
    check_terminal(board)
    return board


def check_terminal(board: Board) -> None:
    """UsageError if two backends want the terminal."""
    owners = [slot.name for slot in board.devices if uses_terminal(slot.backend)]
    if len(owners) > 1:
        raise UsageError(f"{owners[0]} and {owners[1]} both want the terminal; give one another backend")


def resolve_placement(name: str) -> Placement:
    """Where a board's processes run; BoardError names what is wrong."""
    text, path = _board_text(name)
    parse_board(text, str(path))
    return parse_placement(text, str(path))


def load_board(name: str) -> tuple[Board, Path]:
    """The board and the directory its relative paths start from; BoardError if there is none."""
    text, path = _board_text(name)
    return parse_board(text, str(path)), path.absolute().parent


def _board_text(name: str) -> tuple[str, Path]:
    path = Path(name)
    if "/" not in name and path.suffix != ".toml":
        path = BOARDS / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(board.stem for board in BOARDS.glob("*.toml")))
            raise BoardError(f"there is no board {name}: take one of {known}, or give a TOML file's path")
    try:
        text = path.read_text()
    except OSError as error:
        raise BoardError(f"{path}: cannot read the board: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BoardError(f"{path}: not TOML: {error}") from error
    return text, path


def _with_guest(board: Board, options: MachineOptions, home: Path, cache: Path) -> Board:
    """The board with its kernel and initrd: the command line's, the board's own, or the built guest's."""
    kernel = str(home / board.kernel) if board.kernel else ""
    initrd = str(home / board.initrd) if board.initrd else ""
    if options.kernel is not None:
        board, kernel, initrd = replace(board, guest=""), options.kernel, ""
    elif board.guest and not kernel:
        guest = find_guest(cache)
        if guest is None:
            raise UsageError(
                f"board {board.name} runs the {board.guest} guest, which is not in {cache}; run: make guest"
            )
        kernel, initrd = str(guest.kernel), str(guest.initrd)
    if options.initrd is not None:
        initrd = options.initrd
    if not kernel:
        raise UsageError(f"board {board.name} has no kernel; give one with --kernel FILE")
    initrd = _guest_file("initrd", initrd) if initrd else ""
    return replace(board, kernel=_guest_file("kernel", kernel), initrd=initrd)


def _guest_file(role: str, path: str) -> str:
    """The absolute path of a file the guest will see; UsageError if it is no file with something in it."""
    whole = Path(path).absolute()
    try:
        str(whole).encode()
        with whole.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise UsageError(f"{path}: the {role} is empty; give another file with --{role}")
    except UnicodeEncodeError as error:
        raise UsageError(f"{path!r}: the {role}'s path is not UTF-8; give it another name") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: cannot read the {role}: {reason}; give another file with --{role}") from error
    return str(whole)
