"""Recordings as families: each under the one it is a branch of, drawn with lines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from machine.recording.facts import Parent
    from machine.recording.reader import Recording


@dataclass(slots=True)
class Member:
    """A recording, or what is known of one that is not here, with its branches by the instruction they leave it at."""

    id: str
    path: str
    recording: Recording | None
    branches: list[Member] = field(default_factory=list)
    begins: bool = False
    """It is drawn as a beginning, whatever it says."""

    @property
    def parent(self) -> Parent | None:
        """What it is a branch of."""
        return self.recording.facts.parent if self.recording is not None else None

    def facts(self) -> dict[str, object]:
        """The JSON object (docs/commands.md, tree), but for its branches."""
        found: dict[str, object] = {"id": self.id, "path": self.path, "here": self.recording is not None}
        if self.recording is not None:
            found |= {
                "created": self.recording.facts.created,
                "board": self.recording.board.name,
                "from_icount": self.recording.begin_icount,
                "end_icount": self.recording.end_icount,
                "clean_end": self.recording.clean_end,
            }
        if self.parent is not None:
            found["wanted"] = self.parent.wanted
        return found

    def line(self) -> str:
        """One line for people."""
        recording = self.recording
        if recording is None:
            return f"{self.path} is not here, id {self.id}"
        place = f"@{self.parent.wanted:,} " if self.parent is not None else ""
        end = "" if recording.clean_end else ", not closed"
        return f"{place}{self.path}: {recording.board.name}, to {recording.end_icount:,}{end}"


def families(recordings: Iterable[Recording]) -> list[Member]:
    """Those that are no branch of another that is known, oldest first; a parent that is not here is named."""
    members = {found.facts.id: Member(found.facts.id, str(found.path), found) for found in recordings}
    for member in list(members.values()):
        parent = member.parent
        if parent is not None:
            known = members.setdefault(parent.id, Member(parent.id, parent.path, None))
            known.branches.append(member)
    roots = [member for member in members.values() if member.parent is None]
    for member in members.values():
        # Recordings that say they come from each other have no beginning: one of them is drawn as if it had none.
        if member.parent is not None and _comes_from_itself(member, members):
            siblings = members[member.parent.id].branches
            siblings[:] = [other for other in siblings if other is not member]
            roots.append(member)
            member.begins = True
    for member in members.values():
        member.branches.sort(key=_by_place)
    return sorted(roots, key=_by_date)


def _comes_from_itself(member: Member, members: Mapping[str, Member]) -> bool:
    seen: set[str] = set()
    above = member
    while above.parent is not None and not above.begins and above.id not in seen:
        seen.add(above.id)
        above = members[above.parent.id]
    return above is member and bool(seen)


def render(roots: Iterable[Member]) -> str:
    """All families as text."""
    lines = [line for root in roots for line in (root.line(), *_draw(root))]
    return "\n".join(lines) if lines else "no recordings"


def to_json(roots: Sequence[Member]) -> str:
    """All families as a JSON list; written here, since json goes no deeper than Python's stack."""
    parts: list[str] = []
    todo = _listed(roots)
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
        else:
            parts.append(f'{json.dumps(item.facts())[:-1]}, "branches": ')
            todo += ["}", *_listed(item.branches)]
    return "".join(parts)


def _listed(members: Sequence[Member]) -> list[Member | str]:
    """A JSON list of members, the first piece last."""
    items: list[Member | str] = ["["]
    for number, member in enumerate(members):
        items += [", ", member] if number else [member]
    return [*items, "]"][::-1]


def _draw(root: Member) -> Iterator[str]:
    """What is below a member.  Without recursion: a chain of branches may be longer than Python's stack is deep."""
    todo = _indented(root, "")
    while todo:
        branch, indent, last = todo.pop()
        yield f"{indent}{'└── ' if last else '├── '}{branch.line()}"
        todo += _indented(branch, indent + ("    " if last else "│   "))


def _indented(member: Member, indent: str) -> list[tuple[Member, str, bool]]:
    """Its branches, the last first, each with its indent and whether it is the last."""
    return [(branch, indent, not number) for number, branch in enumerate(reversed(member.branches))]


def _by_place(member: Member) -> tuple[int, str, str]:
    return (member.parent.wanted if member.parent is not None else 0, _by_date(member)[0], member.path)


def _by_date(member: Member) -> tuple[str, str]:
    return (member.recording.facts.created if member.recording is not None else "", member.path)
