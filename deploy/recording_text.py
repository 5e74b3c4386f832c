"""A whole recording as JSON and as text."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from machine.board import MIB
from machine.recording.format import node_name, node_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.reading.overview import Overview
    from deploy.reading.timeline import Timeline
    from machine.recording.reader import Recording
    from machine.recording.summary import Summary

RAMP: Final = " .:-=+*#%@"
"""From nothing to most."""


def describe(recording: Recording, overview: Overview) -> dict[str, object]:
    """The JSON object (docs/commands.md, info); `damage` is there only if there is any."""
    summary = overview.summary
    names = node_names(recording.board)
    facts: dict[str, object] = {
        "id": recording.facts.id,
        "board": recording.board.name,
        "created": recording.facts.created,
        "instructions": summary.instructions,
        "virtual_ns": summary.virtual_ns,
        "idle_ns": summary.idle_ns,
        "host_ns": overview.host_ns,
        "mips": round(overview.mips, 3),
        "messages": summary.messages,
        "inputs": summary.inputs,
        "log_bytes": recording.log_bytes,
        "bytes_per_1000_instructions": _density(recording.log_bytes, summary.instructions),
        "clean_end": recording.clean_end and not summary.damage,
        "final_digest": summary.digest.hex(),
        "files": [
            {"role": file.role, "path": file.path, "size": file.size, "sha256": file.sha256}
            for file in recording.facts.files
        ],
        "versions": dict(recording.facts.versions),
        "cut": None if recording.facts.cut is None else asdict(recording.facts.cut),
        "states": {node: dict(states) for node, states in recording.facts.states},
        "parent": _parent(recording),
        "continued": [asdict(each) for each in recording.facts.continued],
        "channels": _channel_facts(names, summary),
        "timeline": _timeline_facts(overview.timeline),
    }
    if summary.damage:
        facts["damage"] = summary.damage
    return facts


def render(recording: Recording, overview: Overview, facts: dict[str, object]) -> str:
    """The same for people: facts, a time line, the messages by channel."""
    board, summary = recording.board, overview.summary
    busy = 1 - summary.idle_ns / summary.virtual_ns if summary.virtual_ns else 0.0
    rows = [
        ("recording", str(recording.path)),
        ("id", recording.facts.id),
        ("created", recording.facts.created),
        ("board", f"{board.name} ({board.cpu}, {board.memory // MIB} MiB)"),
        ("instructions", f"{summary.instructions:,}"),
        ("virtual time", f"{summary.virtual_ns / 1e9:.6f} s"),
        ("idle time", f"{summary.idle_ns / 1e9:.6f} s; the guest ran for {busy:.1%} of the time"),
        ("host time", f"{overview.host_ns / 1e9:.3f} s, {overview.mips:.1f} MIPS"),
        ("messages", f"{summary.messages:,}, {summary.inputs:,} of them inputs"),
        ("log", f"{recording.log_bytes:,} bytes, {facts['bytes_per_1000_instructions']} per 1000 instructions"),
        ("end", _end(facts, summary)),
        ("final digest", summary.digest.hex()),
        ("versions", ", ".join(f"{name} {version}" for name, version in recording.facts.versions)),
    ]
    if (cut := recording.facts.cut) is not None:
        rows.append(
            ("cut", f"out of {cut.of}, instructions {cut.begin:,} to {cut.end:,}, from message {cut.seq + 1:,} on")
        )
    for node, states in recording.facts.states:
        rows.append((f"{node} states", ", ".join(f"{name} {version}" for name, version in states)))
    rows += [
        ("continued", f"another broker went on with it at instruction {each.icount:,}, behind message {each.seq:,}")
        for each in recording.facts.continued
    ]
    if parent := recording.facts.parent:
        rows.insert(2, ("branch of", f"{parent.path}@{parent.wanted}, at {parent.icount:,}, id {parent.id}"))
    rows += [(file.role, f"{file.path}, {file.size:,} bytes, sha256 {file.sha256}") for file in recording.facts.files]
    lines = [f"{label:<13} {text}" for label, text in rows]
    return "\n".join([*lines, "", *_draw(overview.timeline), "", *_channels(recording, overview)])


def _channel_facts(names: tuple[str, ...], summary: Summary) -> list[dict[str, object]]:
    return [
        {
            "source": node_name(names, row.source),
            "target": node_name(names, row.target),
            "type": row.type,
            "messages": row.messages,
            "payload_bytes": row.payload_bytes,
        }
        for row in summary.channels
    ]


def _parent(recording: Recording) -> dict[str, object] | None:
    """What a branch is a branch of, and where; the chain is told by what follows."""
    parent = recording.facts.parent
    if parent is None:
        return None
    return {
        key: getattr(parent, key) for key in ("id", "path", "wanted", "icount", "seq", "inputs", "idle_ns", "snapshot")
    }


def _end(facts: dict[str, object], summary: Summary) -> str:
    if facts["clean_end"]:
        return "clean"
    if facts["cut"] and not summary.damage:
        return "cut"
    extent = f"whole up to instruction {summary.instructions:,}, message {summary.messages:,}"
    return f"damaged: {extent}" if summary.damage else f"not closed, the run was cut short: {extent}"


def _channels(recording: Recording, overview: Overview) -> list[str]:
    """The table of channels; rates are for a second of virtual time."""
    names = node_names(recording.board)
    lines = [f"{'messages':>12}{'payload':>14}{'messages/s':>14}{'bytes/s':>14}  channel"]
    for row in overview.summary.channels:
        rates = f"{overview.a_second(row.messages):>14,.1f}{overview.a_second(row.payload_bytes):>14,.1f}"
        channel = f"{node_name(names, row.source)}/{row.type}>{node_name(names, row.target)}"
        lines.append(f"{row.messages:>12,}{row.payload_bytes:>14,}{rates}  {channel}")
    return lines


def _timeline_facts(timeline: Timeline) -> dict[str, object]:
    spans = timeline.spans
    return {
        "span_ns": timeline.span_ns,
        "busy_ns": timeline.busy_ns[:spans],
        "messages": timeline.messages[:spans],
        "inputs": timeline.inputs[:spans],
    }


def _draw(timeline: Timeline) -> list[str]:
    """The run from left to right, the darker the more: the guest against a whole step, others against their most."""
    spans = timeline.spans
    rows = (
        ("guest runs", timeline.busy_ns[:spans], timeline.span_ns),
        ("messages", timeline.messages[:spans], 0),
        ("inputs", timeline.inputs[:spans], 0),
    )
    lines = [f"{label:<14}|{_shade(values, most or max(values))}|" for label, values, most in rows]
    scale = f"0 s to {timeline.end_ns / 1e9:.6f} s of virtual time, {timeline.span_ns / 1e9:g} s a step"
    return [*lines, f"{'':<14}{scale}"]


def _shade(values: Sequence[int], most: int) -> str:
    steps = len(RAMP) - 1
    return "".join(RAMP[min(steps, -(-value * steps // most)) if most else 0] for value in values)


def _density(log_bytes: int, instructions: int) -> float:
    return round(1000 * log_bytes / instructions, 6) if instructions else 0.0
