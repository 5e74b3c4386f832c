"""The command line of `dejavm`: which subcommand, which arguments, which exit code."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from deploy.commands import dump, info, record, replay, run, verify
from deploy.reporting import complain
from machine.errors import EXIT_DONE, EXIT_FAILED, MachineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

COMMANDS: Final[Mapping[str, ModuleType]] = {
    "run": run,
    "record": record,
    "replay": replay,
    "verify": verify,
    "info": info,
    "dump": dump,
}

EPILOG: Final = (
    "exit codes: 0 done, 1 the guest or a process failed, 2 usage, 3 the replay diverged, 4 unreadable recording"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit code.  Every expected failure is one line on standard error."""
    options = build_parser().parse_args(argv)
    command = COMMANDS[options.command]
    try:
        code = int(command.run(options))
        sys.stdout.flush()
    except MachineError as error:
        return _failed(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough, `dejavm dump | head`; what Python still holds goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except OSError as error:
        return _failed(MachineError(str(error)))
    except KeyboardInterrupt:
        return EXIT_FAILED
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="dejavm", description="Record a whole computer and replay it bit for bit.", epilog=EPILOG
    )
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subcommand = subcommands.add_parser(
            name, help=command.HELP, description=command.__doc__, epilog=EPILOG, allow_abbrev=False
        )
        command.configure(subcommand)
    return parser


def _failed(error: MachineError) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    complain(str(error))
    return error.exit_code
