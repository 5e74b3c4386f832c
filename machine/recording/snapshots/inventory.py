"""What a writer knows of the snapshots that are there, so that no page is kept twice and none too long.

Lives here: which snapshot needs which slots, where each content is, which packs are for nothing.
Never here: the order in which files come and go.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from machine.errors import SnapshotError
from machine.recording.snapshots.files import HASH_BYTES, read_file
from machine.recording.snapshots.pack import Pack
from machine.recording.snapshots.pagemap import PACK_SHIFT, spot
from machine.recording.snapshots.store import Head, content_of, head_of, map_of, shares

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from machine.recording.snapshots.files import Files, SnapshotFile
    from machine.recording.snapshots.pagemap import PageMap

ALIVE: Final = b"\1"


@dataclass(frozen=True, slots=True)
class Entry:
    """A snapshot that is whole; `head` has the bytes of its own file only."""

    head: Head
    memory: int
    page_map: PageMap
    packs: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A good pack: its index, closed, the hashes of its pages, the bytes of its file."""

    index: Pack
    hashes: bytes
    size: int


@dataclass(slots=True)
class Inventory:
    """The snapshots and packs of one recording."""

    snapshots: dict[int, Entry] = field(default_factory=dict)
    packs: dict[int, Stored] = field(default_factory=dict)
    spots: dict[bytes, int] = field(default_factory=dict)
    """The hash of a page -> where it is."""
    held: dict[int, Entry] = field(default_factory=dict)
    """Snapshots that are gone and that the next one may still build on: their pages stay."""
    unreadable: int = 0
    """Snapshots that are there and cannot be used."""

    def update(self, folder: Path, recording_id: str, seen: Files, files: Files) -> None:
        """Take in what has come into a folder, or has changed, since it held `seen`; forget what has gone.

        What is damaged is left alone.
        """
        other = {name for name in seen.keys() | files.keys() if seen.get(name) != files.get(name)}
        packs = {number for number, kind in other if kind == "pages"}
        for number in packs:
            self.forget_pack(number)
        doubtful = [
            number
            for number, entry in self.snapshots.items()
            if (number, "snapshot") in other or not packs.isdisjoint(entry.packs)
        ]
        for number in doubtful:
            del self.snapshots[number]
        for number in sorted(number for number in packs if (number, "pages") in files):
            with suppress(SnapshotError):
                self.store_pack(folder, number, recording_id)
        self.unreadable = 0
        for number in sorted(number for number, kind in files if kind == "snapshot" and number not in self.snapshots):
            try:
                self.enter(read_file(folder, number, recording_id), files[number, "snapshot"][1], folder)
            except SnapshotError:
                self.unreadable += 1

    def enter(self, file: SnapshotFile, size: int, folder: Path) -> None:
        """Take in a snapshot whose file has `size` bytes; SnapshotError unless all its pages are here."""
        page_map = map_of(file, folder)
        packs = tuple(pack for pack, _ in file.packs)
        missing = [pack for pack in packs if pack not in self.packs]
        if missing or self.content(page_map) != file.content:
            raise SnapshotError(f"{folder}: snapshot {file.snapshot.number} lacks pages")
        head = head_of(file, size)
        self.snapshots[head.number] = Entry(head, file.snapshot.memory, page_map, packs, file.content)

    def hold(self, number: int, entry: Entry) -> None:
        """Let the next snapshot build on one that is gone, if all its pages are here."""
        try:
            if self.content(entry.page_map) == entry.content:
                self.held[number] = entry
        except (SnapshotError, KeyError):
            # Somebody else has taken its pages away with it.
            return

    def store_pack(self, folder: Path, number: int, recording_id: str) -> None:
        """Take in a pack's file, in place of what was known of it; SnapshotError if it is damaged."""
        with Pack(folder, number) as pack:
            stored = Stored(pack, pack.read_hashes(), pack.signature[1])
        self.forget_pack(number)
        self.packs[number] = stored
        at = 0
        for first, count in pack.slots():
            for slot in range(first, first + count):
                self.spots.setdefault(stored.hashes[at : at + HASH_BYTES], spot(number, slot))
                at += HASH_BYTES

    def forget_pack(self, number: int) -> None:
        """Leave out a pack that has gone, or will be another."""
        stored = self.packs.pop(number, None)
        if stored is None:
            return
        for at in range(0, len(stored.hashes), HASH_BYTES):
            digest = stored.hashes[at : at + HASH_BYTES]
            if self.spots.get(digest, 0) >> PACK_SHIFT == number:
                del self.spots[digest]

    def content(self, page_map: PageMap) -> bytes:
        """The hash of the hashes of a map's pages."""
        positions = {number: stored.index.position for number, stored in self.packs.items()}
        return content_of(page_map, positions, {number: stored.hashes for number, stored in self.packs.items()})

    def needed(self) -> set[int]:
        """The packs that some snapshot needs."""
        return {pack for entry in self._holders() for pack in entry.packs}

    def alive(self, packs: Collection[int]) -> dict[int, bytearray]:
        """For each of these packs a byte for each slot up to its last: 1 if some snapshot needs it."""
        marks = {number: bytearray(_slots(self.packs[number])) for number in packs}
        for entry in self._holders():
            if marks.keys().isdisjoint(entry.packs):
                continue
            for _, count, pack, slot in entry.page_map.runs():
                if pack in marks:
                    marks[pack][slot : slot + count] = ALIVE * count
        return marks

    def _holders(self) -> Iterator[Entry]:
        """Everybody for whom pages stay."""
        return chain(self.snapshots.values(), self.held.values())

    def ordered(self) -> list[Entry]:
        """The snapshots by icount and number."""
        return sorted(self.snapshots.values(), key=lambda entry: (entry.head.icount, entry.head.number))

    def sizes(self) -> dict[int, int]:
        """The bytes that each snapshot answers for."""
        needs = {number: (entry.head.icount, entry.packs) for number, entry in self.snapshots.items()}
        shared = shares(needs, {number: stored.size for number, stored in self.packs.items()})
        return {number: entry.head.bytes + shared[number] for number, entry in self.snapshots.items()}


def runs_of(marks: bytearray) -> Iterable[tuple[int, int]]:
    """First slot and length of each run of slots that are marked."""
    start = marks.find(1)
    while start >= 0:
        end = marks.find(0, start)
        end = len(marks) if end < 0 else end
        yield start, end - start
        start = marks.find(1, end)


def _slots(stored: Stored) -> int:
    return max((first + count for first, count in stored.index.slots()), default=0)
