"""A parting for people and for programs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from deploy.bisection.search import LogParting, Parting
from deploy.message_text import shortened, text_of
from machine.board import PAGE_BYTES, RAM_BASE

if TYPE_CHECKING:
    from deploy.bisection.runner import Answer
    from deploy.bisection.symbols import Symbols
    from machine.recording.reader import Recording

MESSAGES: Final = 5
"""Messages shown in front of the place."""
MOST_BYTES: Final = 16
"""Differing bytes shown; the rest is counted."""


def describe(parting: Parting | LogParting, recording: Recording, symbols: Symbols) -> dict[str, Any]:
    """The JSON object: where, which instruction, what differs, what was said before."""
    facts: dict[str, Any] = {"icount": parting.icount, "process": "cpu"}
    look = parting.before
    if look is not None:
        facts |= {"pc": look["pc"], "instruction": look["instruction"], "symbol": symbols.name(look["pc"])}
    if isinstance(parting, LogParting):
        facts["divergence"] = parting.text
    else:
        left, right = parting.after
        facts["registers"] = _registers(left, right)
        facts["bytes"] = _bytes(left, right)
    facts["messages"] = last_messages(recording, parting.icount)
    return facts


def sentences(facts: dict[str, Any]) -> str:
    """The same for people."""
    lines = [facts["divergence"]] if "divergence" in facts else []
    lines.append(f"the first difference is behind instruction {facts['icount']:,} of {facts['process']}")
    if "pc" in facts:
        symbol = f" <{facts['symbol']}>" if facts["symbol"] else ""
        lines.append(f"  {facts['pc']:#x}{symbol}: {facts['instruction']}")
    for name, (left, right) in facts.get("registers", {}).items():
        lines.append(f"  {name:<10} {left:#018x} in one run, {right:#018x} in the other")
    differing = facts.get("bytes", [])
    for address, left, right in differing[:MOST_BYTES]:
        lines.append(f"  {address:#x}: {left:#04x} in one run, {right:#04x} in the other")
    if len(differing) > MOST_BYTES:
        lines.append(f"  and {len(differing) - MOST_BYTES:,} more bytes")
    if facts["messages"]:
        lines += ["the last messages before it:", *(f"  {shortened(text)}" for text in facts["messages"])]
    return "\n".join(lines)


def last_messages(recording: Recording, icount: int) -> list[str]:
    """What was said last up to an instruction."""
    text = text_of(recording)
    last: deque[str] = deque(maxlen=MESSAGES)
    for frame in recording.frames():
        if frame.icount > icount:
            break
        last.append(text.line(frame))
    return list(last)


def _registers(left: Answer, right: Answer) -> dict[str, tuple[int, int]]:
    rows = zip(left["names"], left["registers"], right["registers"], strict=True)
    return {name: (a, b) for name, a, b in rows if a != b}


def _bytes(left: Answer, right: Answer) -> list[tuple[int, int, int]]:
    """Guest physical address and both values of every byte that differs."""
    found = []
    for number in sorted(left["bytes"], key=int):
        pair = zip(bytes.fromhex(left["bytes"][number]), bytes.fromhex(right["bytes"][number]), strict=True)
        base = RAM_BASE + int(number) * PAGE_BYTES
        found += [(base + offset, a, b) for offset, (a, b) in enumerate(pair) if a != b]
    return found
