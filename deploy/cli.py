"""The command line of `dejavm`: which subcommand, which arguments, which exit code."""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Final

from deploy.environment import check_environment
from deploy.parser import Parser
from deploy.reporting import complain, put, put_out
from machine.errors import EXIT_DONE, Interrupted, MachineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

COMMANDS: Final[Mapping[str, str]] = {
    "run": "start a machine; with -o, record it as `record` does",
    "record": "start a machine and record it",
    "up": "start a machine as a service: its processes under supervisor, in the background",
    "down": "end a machine that is up, its guest powered off first",
    "ps": "list the machines that are up and their processes",
    "logs": "print the diagnostics of a machine that is up",
    "keygen": "make the keys of a machine whose processes are on several hosts",
    "replay": "run a recording again",
    "verify": "replay a recording and say whether it was bit-exact",
    "analyse": "ask a question of a whole recording, in parts side by side",
    "branch": "go on from an instruction of a recording with other hands, recorded as a recording of its own",
    "tree": "draw which recordings are branches of which",
    "info": "describe a recording",
    "snapshots": "list a recording's snapshots, or delete some",
    "dump": "print a recording's messages",
    "assemble": "make a recording of what dump has printed",
    "diff": "compare two recordings",
    "export": "write a recording's packets, terminal or time line for other programs",
    "bisect": "find the first instruction behind which replays differ",
    "gdb": "debug a recording with gdb, forwards and backwards",
    "pack": "make one file of a recording, to be replayed elsewhere",
    "unpack": "restore what pack made",
    "cut": "make a recording of a part of one",
    "redact": "copy a recording without the bytes of some channels",
}
"""Each is a module of deploy/commands, imported when it is asked for: a machine's start waits for imports."""

STARTING: Final = ("gdb",)
"""Those that start another program, whose arguments stand behind `--`."""

VERSION: Final = "--version"
HELP: Final = "help"
"""`dejavm help`, `dejavm help COMMAND`: as with --help."""
EPILOG: Final = (
    "exit codes: 0 done, 1 the guest or a process failed, 2 usage, 3 the replay diverged or the recordings differ, "
    "4 unreadable recording, 130 interrupted"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit code.  Every expected failure is one line on standard error.

    Of EXIT_INTERRUPTED the caller makes a death by SIGINT.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        # A second one ends us at once.  Who reads our output may never again, and what we hold is no result.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _drop_output()
        return _failed(Interrupted("interrupted"))


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _done(words)
        put_out()
    except MachineError as error:
        return _failed(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_unheard():
            return EXIT_DONE
        return _failed(MachineError(_what_failed(error)))
    return code


def _done(words: Sequence[str]) -> int:
    if list(words) == [VERSION]:
        return _say_version()
    check_environment()
    if words and words[0] == HELP:
        words = [*words[1:], "--help"]
    asked = next((word for word in words if not word.startswith("-")), None)
    words, others = split_words(words, asked)
    parser = build_parser(asked)
    if asked is not None and asked not in COMMANDS:
        parser.refuse_command(asked, COMMANDS)
    options = parser.parse(words)
    if others is not None:
        options.arguments = others
    return int(_module(options.command).run(options))


def split_words(words: Sequence[str], asked: str | None) -> tuple[Sequence[str], Sequence[str] | None]:
    """Our words and, behind `--`, those of a program that the subcommand starts; argparse would mix them up."""
    if asked not in STARTING or "--" not in words:
        return words, None
    place = words.index("--")
    return words[:place], words[place + 1 :]


def build_parser(asked: str | None) -> Parser:
    """The parser of all subcommands, in full for the one that was asked for."""
    parser = Parser(prog="dejavm", description="Record a whole computer and replay it bit for bit.", epilog=EPILOG)
    parser.add_argument(VERSION, action="store_true", help="say which version this is")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subcommand = subcommands.add_parser(name, help=summary, epilog=EPILOG, allow_abbrev=False)
        if name == asked:
            parser.at_work = subcommand
            command = _module(name)
            subcommand.description = command.__doc__
            command.configure(subcommand)
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"deploy.commands.{name}")


def _say_version() -> int:
    # Imported here: a machine's start waits for imports.
    from importlib.metadata import version  # noqa: PLC0415

    put(f"dejavm {version('dejavm')}")
    return EXIT_DONE


def _is_unheard() -> bool:
    """Whether who read our output has seen enough, `dejavm dump | head`; what Python still holds goes nowhere then."""
    output = select.poll()
    output.register(sys.stdout, 0)
    unheard = any(state & (select.POLLERR | select.POLLHUP) for _, state in output.poll(0))
    if unheard:
        _drop_output()
    return unheard


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what_failed(error: OSError) -> str:
    """What, and why, without Python's numbers."""
    why = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {why}"
    return f"the directory that you stand in is gone: {why}" if _is_nowhere() else why


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _failed(error: MachineError) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    complain(str(error))
    return error.exit_code
