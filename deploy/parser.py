"""The parser of the command line, in our manner: what is wrong is one line; and numbers that have bounds."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, NoReturn

from deploy.reporting import complain, put, put_out
from machine.errors import EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments, and where to read on, in one line; exit code 2."""

    at_work: Parser | None = None
    """The subcommand's, where one was asked for."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """parse_args(), but what nobody knows is told with the subcommand that does not know it."""
        options, others = self.parse_known_args(words)
        if others:
            (self.at_work or self).error(f"unrecognized arguments: {' '.join(others)}")
        return options

    def print_help(self, file: object = None) -> None:
        """A result like others; argparse would not say that nobody takes it."""
        put(self.format_help().rstrip("\n"))
        put_out()

    def error(self, message: str) -> NoReturn:
        """See above; argparse would print how the command is used first."""
        complain(f"{message}; see: {self.prog} --help")
        self.exit(EXIT_USAGE)

    def refuse_command(self, word: str, known: Iterable[str]) -> NoReturn:
        """`word` stands where a command does, and is none."""
        # Imported here: a machine's start waits for imports.
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(word, known, 1)
        self.error(f"{word} is no command" + (f", {near[0]} is one" if near else ""))


def utf8(text: str) -> str:
    """What is kept in a recording, which is text; files' names may be any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8") from error
    return text


def seconds(text: str) -> float:
    """A time that can be waited for, in seconds."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time in seconds")
    return value


def port(text: str) -> int:
    """A port's number; 0 is any port."""
    # Imported here: a machine's start waits for imports.
    from machine.listening import HIGHEST_PORT  # noqa: PLC0415

    value = int(text)
    if not 0 <= value <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port, they go from 0 to {HIGHEST_PORT}")
    return value
