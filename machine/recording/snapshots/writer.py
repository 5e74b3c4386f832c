"""Writing snapshots into a recording: each is there whole or not at all.

Theory of operation.  The pages that no snapshot had before go into one new file, which gets its name first; then the
file of the snapshot gets its name, and with that the snapshot is there.  Nothing that a snapshot needs is ever taken
away before the snapshot is; a pack that mostly holds what nobody needs is written anew and takes the place of the old
one in one step.  A writer locks the folder for each thing it does and looks whether another has been there.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from machine.errors import ForeignSnapshot, LogError, MissingSnapshot, SnapshotError, StateError, UsageError
from machine.recording.layout import DIRECTORY_MODE, PART_SUFFIX, SNAPSHOTS_NAME
from machine.recording.snapshots.files import (
    HASH_BYTES,
    HIGHEST_NAME,
    SnapshotFile,
    files_of,
    highest_number,
    pack_file,
    pack_path,
    read_file,
    snapshot_path,
)
from machine.recording.snapshots.inventory import Inventory, runs_of
from machine.recording.snapshots.pack import Pack
from machine.recording.snapshots.packing import Packing
from machine.recording.snapshots.pagemap import NO_PAGE, PageMap, spot
from machine.recording.snapshots.part import Part
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.thinning import to_drop

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from machine.recording.snapshots.files import Files
    from machine.recording.snapshots.snapshot import Snapshot
    from machine.recording.snapshots.store import Head

ZERO_PAGE: Final = bytes(PAGE_BYTES)


class SnapshotWriter:
    """Adds to the snapshots of one recording, deletes them and thins them, inside a budget of bytes if there is one."""

    def __init__(self, recording: Path, recording_id: str, budget: int | None = None) -> None:
        self._folder = recording / SNAPSHOTS_NAME
        self._recording_id = recording_id
        self._budget = budget
        self._seen: Files | None = None
        self._inventory = Inventory()
        self._highest = 0
        self._last = 0
        """The snapshot that was added last: the next one may build on it, even if somebody deletes it before."""

    def add(self, snapshot: Snapshot, pages: Iterable[tuple[int, bytes | memoryview]], base: int | None) -> Head:
        """Write a snapshot; its head.  Number 0 stands for the next one.

        `pages`: page number and its 4096 bytes, each page at most once: all that may differ from snapshot `base`, or
        with None all that are not all zero.  LogError with the host's words if it cannot be written; then nothing of it
        is left.
        """
        if snapshot.recording != self._recording_id:
            raise ForeignSnapshot(
                f"a snapshot of recording {snapshot.recording} does not belong in recording {self._recording_id}"
            )
        with self._locked():
            number = snapshot.number or self._highest + 1
            if number <= self._highest:
                raise SnapshotError(
                    f"{self._folder}: there is or was a snapshot {number}; the next is {self._highest + 1}"
                )
            before = self._map_of(base, snapshot.memory)
            try:
                changes = self._write_pages(number, pages)
                page_map = before.changed(changes)
                self._write_snapshot(replace(snapshot, number=number), page_map)
            except BaseException:
                pack_path(self._folder, number).unlink(missing_ok=True)
                raise
            self._last = number
            self._let_go()
            return replace(self._inventory.snapshots[number].head, bytes=self._inventory.sizes()[number])

    def look(self) -> None:
        """Learn what others have added and deleted, so that whoever this process forks need not."""
        with self._locked():
            pass

    def delete(self, number: int) -> None:
        """Take a snapshot away, a damaged one too; MissingSnapshot if there is none."""
        with self._locked() as files:
            if (number, "snapshot") not in files:
                raise MissingSnapshot(f"{self._folder}: there is no snapshot {number}")
            if self._is_beginning(number):
                raise UsageError(
                    f"{self._folder}: snapshot {number} is what the recording begins with; it cannot be deleted"
                )
            packs = self._remove(number)
            if packs is None:
                self._sweep()
            else:
                self._tidy(packs)

    def close(self) -> None:
        """Nothing will be added any more: what was kept only to build on goes."""
        if self._inventory.held:
            with self._locked():
                self._let_go()

    def _is_beginning(self, number: int) -> bool:
        """Whether it has a name and stands in front of a log's first message; one that is damaged does not say.

        What a branch was begun with on the way has none, and goes.
        """
        try:
            snapshot = read_file(self._folder, number, self._recording_id).snapshot
        except SnapshotError:
            return False
        return bool(snapshot.label) and snapshot.place.offset == 0 and snapshot.place.seq == snapshot.seq > 0

    def thin(self, keep: Collection[int] = ()) -> tuple[int, ...]:
        """Drop what a recording can do without (thinning.py); the numbers dropped.

        Never one that has a label, one in `keep`, or the last.
        """
        dropped: list[int] = []
        with self._locked():
            while True:
                entries = self._inventory.ordered()
                heads = [entry.head for entry in entries]
                sizes = self._inventory.sizes()
                places = to_drop(
                    [head.icount for head in heads],
                    [sizes[head.number] for head in heads],
                    self._budget,
                    [place for place, head in enumerate(heads) if head.label or head.number in keep],
                    [frozenset(head.nodes) for head in heads],
                )
                if not places:
                    return tuple(sorted(dropped))
                numbers = [heads[place].number for place in places]
                # What they shared with others is not free yet: then the sizes show it, and some more go.
                self._tidy({pack for number in numbers for pack in self._remove(number) or ()})
                dropped += numbers

    def _map_of(self, base: int | None, memory: int) -> PageMap:
        if base is None:
            return PageMap()
        entry = self._inventory.snapshots.get(base) or self._inventory.held.get(base)
        if entry is None:
            raise MissingSnapshot(f"{self._folder}: there is no whole snapshot {base} to build on")
        if entry.memory != memory:
            raise StateError(f"snapshot {base} is of {entry.memory} bytes of memory, the new one of {memory}")
        return entry.page_map

    def _write_pages(self, number: int, pages: Iterable[tuple[int, bytes | memoryview]]) -> dict[int, int]:
        """Write what is new of these pages; page -> spot."""
        with Part(pack_path(self._folder, number)) as part:
            packing = Packing(part, self._recording_id, number)
            changes = self._gather(packing, number, pages)
            if not packing.hashes:
                return changes
            packing.finish()
            part.keep()
        self._inventory.store_pack(self._folder, number, self._recording_id)
        return changes

    def _gather(self, packing: Packing, number: int, pages: Iterable[tuple[int, bytes | memoryview]]) -> dict[int, int]:
        old = self._inventory.spots
        new: dict[bytes, int] = {}
        changes: dict[int, int] = {}
        for page, data in pages:
            assert len(data) == PAGE_BYTES, "a page has 4096 bytes"
            if data == ZERO_PAGE:
                changes[page] = NO_PAGE
                continue
            digest = blake2b(data, digest_size=HASH_BYTES).digest()
            where = old.get(digest) or new.get(digest)
            if where is None:
                slot = len(new)
                where = new[digest] = spot(number, slot)
                packing.add(slot, data, digest)
            changes[page] = where
        return changes

    def _write_snapshot(self, snapshot: Snapshot, page_map: PageMap) -> None:
        content = self._inventory.content(page_map)
        packs = tuple(sorted(page_map.packs().items()))
        file = SnapshotFile(snapshot, page_map.encode(), packs, content)
        # What a reader would refuse is refused here.
        PageMap.decode(file.page_map, snapshot.memory)
        data = pack_file(file)
        with Part(snapshot_path(self._folder, snapshot.number)) as part:
            part.write(data)
            part.keep()
        self._inventory.enter(file, len(data), self._folder)

    def _remove(self, number: int) -> tuple[int, ...] | None:
        """Take a snapshot's file away; the packs that it needed, None if it could not be read."""
        if number == self._highest:
            # If there is no room even for this, deleting makes some; then a number may come twice.
            with suppress(LogError), Part(self._folder / HIGHEST_NAME) as part:
                part.write(str(number).encode())
                part.keep()
        self._unlink(snapshot_path(self._folder, number))
        entry = self._inventory.snapshots.pop(number, None)
        if entry is not None:
            if number == self._last:
                self._inventory.hold(number, entry)
            return entry.packs
        self._inventory.unreadable -= 1
        return None

    def _tidy(self, packs: Collection[int]) -> None:
        """Remove those of these packs that nobody needs, write those anew of which less than half is needed."""
        for number in sorted(set(packs) - self._inventory.needed()):
            self._unlink(pack_path(self._folder, number))
            self._inventory.forget_pack(number)
        left = [number for number in packs if number in self._inventory.packs]
        for number, marks in self._inventory.alive(left).items():
            # What a branch shares with its parent takes no room of its own.
            shared = pack_path(self._folder, number).stat().st_nlink > 1
            if not shared and 2 * marks.count(1) < self._inventory.packs[number].index.pages:
                self._rewrite(number, marks)

    def _rewrite(self, number: int, marks: bytearray) -> None:
        """Write a pack anew with the slots that are marked."""
        try:
            with Pack(self._folder, number) as pack, Part(pack.path) as part:
                packing = Packing(part, self._recording_id, number)
                hashes = pack.read_hashes()
                kept = [(first, count, pack.position(first, count)) for first, count in runs_of(marks)]
                pages = memoryview(bytearray(marks.count(1) * PAGE_BYTES))
                starts = list(accumulate((count for _, count, _ in kept), initial=0))
                pack.load([(at, start, count) for start, (_, count, at) in zip(starts, kept, strict=False)], pages)
                for start, (first, count, at) in zip(starts, kept, strict=False):
                    content = pages[start * PAGE_BYTES : (start + count) * PAGE_BYTES]
                    packing.add(first, content, hashes[at * HASH_BYTES : (at + count) * HASH_BYTES])
                packing.finish()
                part.keep()
        except LogError:
            # No room for both, or a page is damaged: the old one serves as it did.
            return
        self._inventory.store_pack(self._folder, number, self._recording_id)

    def _let_go(self) -> None:
        """Keep no pages for snapshots that are gone."""
        packs = {pack for entry in self._inventory.held.values() for pack in entry.packs}
        self._inventory.held.clear()
        self._tidy(packs)

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError as error:
            raise LogError(f"{path}: cannot delete: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[Files]:
        """The folder, made if it is not there, for this writer alone, and the inventory as the folder is."""
        try:
            self._folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            # A link in somebody else's recording would have files made and deleted where nobody has asked for it.
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise LogError(f"{self._folder}: cannot keep snapshots here: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files: Files = files_of(self._folder)
            # Should something go wrong from here on, the folder is looked at anew.
            seen, self._seen = self._seen, None
            if files != seen:
                files = self._load(seen, files)
            # Not only then: what another writer has added and deleted since shows in nothing else.
            self._highest = max(self._highest, highest_number(self._folder, files))
            yield files
            self._seen = files_of(self._folder)
            self._highest = max((self._highest, *(number for number, _ in self._seen)))
        finally:
            os.close(lock)

    def _load(self, seen: Files | None, files: Files) -> Files:
        """Learn what has changed, or is there; what a killed writer has left goes.  The files that stay."""
        for path in self._folder.glob(f"*{PART_SUFFIX}"):
            self._unlink(path)
        last = self._inventory.snapshots.get(self._last) or self._inventory.held.get(self._last)
        if seen is None:
            self._inventory = Inventory()
        self._inventory.held.clear()
        self._inventory.update(self._folder, self._recording_id, seen or {}, files)
        if last is not None and self._last not in self._inventory.snapshots:
            self._inventory.hold(self._last, last)
        if seen is not None and _has_only_grown(seen, files):
            return files
        self._sweep()
        return files_of(self._folder)

    def _sweep(self) -> None:
        """Remove every pack that nobody needs, a damaged one too.

        While a snapshot cannot be read they stay: somebody may yet find out what is wrong with it.
        """
        if self._inventory.unreadable:
            return
        self._tidy(self._inventory.packs)
        for number, kind in files_of(self._folder):
            if kind == "pages" and number not in self._inventory.packs:
                self._unlink(pack_path(self._folder, number))


def _has_only_grown(seen: Files, files: Files) -> bool:
    """Whether a folder holds what it held, and more, and no pack has come without its snapshot."""
    came = files.keys() - seen.keys()
    return seen.items() <= files.items() and all((number, "snapshot") in files for number, _ in came)
