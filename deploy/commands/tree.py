"""`dejavm tree`: which recordings are branches of which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.family import families, render, to_json
from deploy.library import RECORDINGS
from deploy.reading_options import add_json
from deploy.reporting import complain, put
from machine.errors import EXIT_DONE, EXIT_UNREADABLE, LogError, UsageError
from machine.recording.layout import MACHINE_NAME, SUFFIX
from machine.recording.reader import Recording

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "places", nargs="*", metavar="DIR|REC", help="recordings, or directories with some (default: ./recordings)"
    )
    add_json(parser, "print it as a JSON list of roots, each with its branches")


def run(options: argparse.Namespace) -> int:
    """Draw; what cannot be read is named and left out, which is exit code 4."""
    found: dict[str, Recording] = {}
    damage: list[str] = []
    for path in _paths(options.places or [str(RECORDINGS)]):
        try:
            recording = Recording.open(path)
        except LogError as error:
            damage.append(str(error))
        else:
            found.setdefault(recording.facts.id, recording)
    roots = families(found.values())
    put(to_json(roots) if options.json else render(roots))
    for text in damage:
        complain(text)
    return EXIT_UNREADABLE if damage else EXIT_DONE


def _paths(places: list[str]) -> Iterator[Path]:
    for place in places:
        path = Path(place)
        if _is_recording(path):
            yield path
            continue
        if not path.is_dir():
            raise UsageError(f"{place}: there is neither a recording nor a directory with some")
        yield from sorted(entry for entry in path.iterdir() if _is_recording(entry))


def _is_recording(path: Path) -> bool:
    """Whether it has a machine.toml, or is called a recording and hides what it has."""
    try:
        return (path / MACHINE_NAME).exists()
    except PermissionError:
        return path.suffix == SUFFIX
