"""`dejavm analyse`: ask a question of a whole recording, in parts side by side."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.library import open_recording
from deploy.plan import CPU
from deploy.reading_options import add_recording
from deploy.reporting import complain, put
from machine.board import RAM_BASE
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_UNREADABLE, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from deploy.bisection.symbols import Symbols
    from machine.analysis.base import Analysis
    from machine.board import Board
    from machine.recording.reader import Recording

COVERAGE: Final = "coverage"
WRITES: Final = "writes"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    parser.add_argument(
        "--ask", metavar="WORD", nargs="+", default=[COVERAGE],
        help="coverage; writes or changes ADDRESS [SIZE]; or your own MODULE:NAME, and its words (default: coverage)",
    )  # fmt: skip
    parser.add_argument(
        "--symbols", metavar="FILE", help="coverage, or who wrote, by symbol: a vmlinux or a System.map"
    )
    parser.add_argument("--lcov", metavar="FILE", help="coverage by symbol as lcov's tracefile")
    parser.add_argument("--jobs", type=int, metavar="N", help="in parts, split at its snapshots, N at a time")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="in parts, on the workers of this Dask scheduler")


def run(options: argparse.Namespace) -> int:
    """Replay all parts with the question; the answer goes to standard output as JSON, or as a table."""
    # Imported here: a machine's start imports this module's table only.
    from deploy.analysis.crew import Crew  # noqa: PLC0415
    from deploy.analysis.verification import run_in_parts  # noqa: PLC0415
    from machine.analysis.table import ANALYSES, make_analysis  # noqa: PLC0415

    _check(options)
    if options.ask[0] not in ANALYSES:
        # The workers find an analysis of the user's where he stands.  Nobody else is to: what lies there is not ours.
        here = str(Path.cwd())
        sys.path.append(here)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), here)))
    analysis = make_analysis(options.ask[0], options.ask[1:])
    symbols = _symbols(options)
    recording = open_recording(options.recording)
    _check_place(recording.board, analysis)
    with nullcontext(options.scheduler) if options.scheduler is not None else Crew() as workers:
        answers, summary = run_in_parts(recording, options.jobs, workers, tuple(options.ask))
    for answer in answers:
        if "divergence" in answer:
            complain(str(answer["divergence"]))
            return EXIT_DIVERGED
    found = analysis.combine([answer["found"] for answer in answers])
    if options.symbols is None:
        put(json.dumps(found))
    elif options.ask[0] == COVERAGE:
        _by_symbol(recording, options, symbols, found)
    else:
        _writers(symbols, found)
    if summary.damage:
        complain(summary.damage)
        return EXIT_UNREADABLE
    return EXIT_DONE


def _check(options: argparse.Namespace) -> None:
    """UsageError unless symbols and tracefile are for what is asked."""
    if options.symbols is not None and options.ask[0] not in (COVERAGE, WRITES):
        raise UsageError("--symbols: only coverage and writes are told by symbol")
    if options.lcov is not None and options.ask[0] != COVERAGE:
        raise UsageError("--lcov: only coverage has a tracefile")
    if options.lcov is not None and options.symbols is None:
        raise UsageError("--lcov: say with --symbols FILE where the symbols are")
    if options.lcov is not None and not Path(options.lcov).parent.is_dir():
        raise UsageError(f"{options.lcov}: cannot write: there is no such directory")


def _check_place(board: Board, analysis: Analysis) -> None:
    """UsageError unless what it is about lies in the guest's memory."""
    start, size = analysis.watched or analysis.about or (RAM_BASE, 0)
    end = RAM_BASE + board.memory
    if not RAM_BASE <= start <= start + size <= end:
        raise UsageError(
            f"--ask: {size} bytes at {start:#x} are not in the guest's memory, which goes from {RAM_BASE:#x} to"
            f" {end - 1:#x}; the address is a physical one"
        )


def _symbols(options: argparse.Namespace) -> Symbols:
    """Read in front of the replay, which may take long; UsageError."""
    from deploy.bisection.symbols import Symbols  # noqa: PLC0415

    return Symbols() if options.symbols is None else Symbols.read(options.symbols)


def _writers(symbols: Symbols, found: Sequence[Sequence[Any]]) -> None:
    """Each write: the icount in front of it, the process, where the CPU stood, the bytes behind it."""
    for icount, pc, device, after in found:
        put(f"{icount:>16,}  {device or CPU:<10}  {pc:#018x} {symbols.name(pc)}  {after}")


def _by_symbol(
    recording: Recording,
    options: argparse.Namespace,
    symbols: Symbols,
    found: Any,  # noqa: ANN401  # JSON
) -> None:
    from deploy.analysis.lcov import by_symbol, table, tracefile  # noqa: PLC0415

    covered = by_symbol(found, symbols.rows())
    for line in table(covered):
        put(line)
    if options.lcov is not None:
        _write(options.lcov, tracefile(recording.board.kernel, covered))


def _write(path: str, lines: Iterable[str]) -> None:
    try:
        Path(path).write_text("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise UsageError(f"{path}: cannot write: {error.strerror}") from error
