"""A whole recording as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.message_text import node_name
from machine.board import MIB
from machine.recording.format import node_names

if TYPE_CHECKING:
    from machine.recording.reader import Recording
    from machine.recording.summary import Summary


def describe(recording: Recording, summary: Summary) -> dict[str, object]:
    """The JSON object; `damage` is there only if there is any."""
    facts: dict[str, object] = {
        "id": recording.facts.id,
        "board": recording.board.name,
        "created": recording.facts.created,
        "instructions": summary.instructions,
        "virtual_ns": summary.virtual_ns,
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
    }
    if summary.damage:
        facts["damage"] = summary.damage
    return facts


def render(recording: Recording, summary: Summary, facts: dict[str, object]) -> str:
    """The same for people, with the messages by channel."""
    board = recording.board
    rows = [
        ("recording", str(recording.path)),
        ("id", recording.facts.id),
        ("created", recording.facts.created),
        ("board", f"{board.name} ({board.cpu}, {board.memory // MIB} MiB)"),
        ("instructions", f"{summary.instructions:,}"),
        ("virtual time", f"{summary.virtual_ns / 1e9:.6f} s"),
        ("messages", f"{summary.messages:,}, {summary.inputs:,} of them inputs"),
        ("log", f"{recording.log_bytes:,} bytes, {facts['bytes_per_1000_instructions']} per 1000 instructions"),
        ("end", "clean" if facts["clean_end"] else "damaged" if summary.damage else "unclosed or without an end"),
        ("final digest", summary.digest.hex()),
        ("versions", ", ".join(f"{name} {version}" for name, version in recording.facts.versions)),
    ]
    rows += [(file.role, f"{file.path}, {file.size:,} bytes, sha256 {file.sha256}") for file in recording.facts.files]
    lines = [f"{label:<14}{text}" for label, text in rows]
    names = node_names(board)
    lines += ["", f"{'messages':>12}{'payload':>14}  channel"]
    for row in summary.channels:
        channel = f"{node_name(names, row.source)}/{row.type}>{node_name(names, row.target)}"
        lines.append(f"{row.messages:>12,}{row.payload_bytes:>14,}  {channel}")
    return "\n".join(lines)


def _density(log_bytes: int, instructions: int) -> float:
    return round(1000 * log_bytes / instructions, 6) if instructions else 0.0
