"""`dejavm diff`: where two recordings part, and how much of them differs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.message_text import MessageText, shortened
from deploy.reading.difference import compare
from deploy.reading.machines import machine_differences
from deploy.reading.watching import watched
from deploy.reading_options import add_json
from deploy.reporting import complain, put
from machine.codec import name_of
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_UNREADABLE
from machine.recording.reader import Recording

if TYPE_CHECKING:
    import argparse

    from deploy.reading.difference import Comparison, Count, FirstDifference
    from deploy.reading.machines import MachineDifference
    from machine.frame import Frame


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("a", metavar="A", help="a recording's directory")
    parser.add_argument("b", metavar="B", help="another")
    add_json(parser, "print it as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare machines, then messages; 0 if all is the same, 3 if not, 4 if one could only be read in part."""
    a, b = Recording.open(Path(options.a)), Recording.open(Path(options.b))
    machine = machine_differences(a, b)
    result = compare(a, b, lambda frames: watched(frames, lambda: a.messages - a.beginning.seq))
    text = _Text(result)
    put(json.dumps(text.facts(machine)) if options.json else "\n".join(text.lines(machine)))
    for damage in result.damage:
        complain(str(damage))
    if result.damage:
        return EXIT_UNREADABLE
    return EXIT_DIVERGED if machine or result.first is not None else EXIT_DONE


class _Text:
    """A comparison as JSON and as text."""

    def __init__(self, result: Comparison) -> None:
        self._result = result
        self._messages = MessageText(result.node)

    def facts(self, machine: list[MachineDifference]) -> dict[str, object]:
        """The JSON object."""
        first = self._result.first
        return {
            "same": first is None and not machine and not self._result.damage,
            "machine": [asdict(row) for row in machine],
            "first": self._first_facts(first) if first is not None else None,
            "messages": asdict(self._result.total()),
            "channels": [{**self._channel(key), **asdict(count)} for key, count in self._rows()],
            "damage": [str(damage) for damage in self._result.damage],
        }

    def lines(self, machine: list[MachineDifference]) -> list[str]:
        """The same for people."""
        lines = [f"{row.key}: {row.a or 'nothing'} | {row.b or 'nothing'}" for row in machine]
        first = self._result.first
        if first is not None:
            lines += self._first_lines(first)
        total = self._result.total()
        if first is None:
            lines.append(f"{total.same:,} messages, all the same")
        else:
            lines += ["", f"{'same':>12}{'differing':>12}{'only in A':>12}{'only in B':>12}{'reordered':>12}  channel"]
            lines += [_count(count) + self._topic(key) for key, count in self._rows() if not _is_same(count)]
            lines.append(_count(total) + "all channels")
        return lines

    def _first_facts(self, first: FirstDifference) -> dict[str, object]:
        stamped = first.a or first.b
        assert stamped is not None
        return {
            "icount": stamped.icount,
            "seq": stamped.seq,
            "process": first.text.process,
            "type": first.text.kind,
            "a": first.text.expected,
            "b": first.text.actual,
            "message_a": self._row(first.a),
            "message_b": self._row(first.b),
            "before": [self._row(frame) for frame in first.before],
        }

    def _first_lines(self, first: FirstDifference) -> list[str]:
        stamped = first.a or first.b
        assert stamped is not None
        where = f"first difference at {stamped.icount}/{stamped.seq} in {first.text.process}, {first.text.kind}"
        lines = [f"{where}: A has {first.text.expected}; B has {first.text.actual}", ""]
        lines += [f"   {shortened(self._messages.line(frame))}" for frame in first.before]
        both = (("A", first.a), ("B", first.b))
        lines += [f"{side}  {shortened(self._messages.line(f))}" for side, f in both if f is not None]
        return lines

    def _row(self, frame: Frame | None) -> dict[str, object] | None:
        return self._messages.row(frame) if frame is not None else None

    def _rows(self) -> list[tuple[tuple[int, int, int], Count]]:
        return sorted(self._result.channels.items(), key=lambda item: (*item[0][1:], item[0][0]))

    def _channel(self, key: tuple[int, int, int]) -> dict[str, object]:
        kind, source, target = key
        return {"source": self._result.node(source), "target": self._result.node(target), "type": name_of(kind)}

    def _topic(self, key: tuple[int, int, int]) -> str:
        return "{source}/{type}>{target}".format_map(self._channel(key))


def _is_same(count: Count) -> bool:
    return not (count.differing or count.only_a or count.only_b or count.reordered)


def _count(count: Count) -> str:
    numbers = (count.same, count.differing, count.only_a, count.only_b, count.reordered)
    return "".join(f"{number:>12,}" for number in numbers) + "  "
