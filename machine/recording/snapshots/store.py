"""Reading a recording's snapshots, while somebody may be adding to them or deleting them.

Lives here: which there are, what each says, its memory.
Never here: anything that writes.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from machine.errors import DamagedSnapshot, SnapshotError, StateError
from machine.recording.layout import SNAPSHOTS_NAME
from machine.recording.snapshots.files import (
    HASH_BYTES,
    Signature,
    SnapshotFile,
    digest_of,
    files_of,
    pack_path,
    read_file,
    snapshot_path,
)
from machine.recording.snapshots.pack import Pack
from machine.recording.snapshots.snapshot import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from machine.recording.snapshots.files import Files
    from machine.recording.snapshots.pack import Piece
    from machine.recording.snapshots.pagemap import PageMap
    from machine.recording.snapshots.snapshot import Snapshot

    Opened = list[tuple[Pack, list[Piece]]]
    """Packs, and which of their pages are where in memory."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a list of snapshots shows of one."""

    number: int
    icount: int
    seq: int
    label: str
    at: int
    """Where its label leads to (snapshot.py)."""
    at_ns: int
    """The virtual time there, in nanoseconds; 0 where nobody knows."""
    made_ns: int
    """The host's Unix time when it was made, in nanoseconds; 0 where nobody knows."""
    work_ns: int
    """The processor time of a replay up to it, in nanoseconds; 0 where nobody has measured it."""
    nodes: tuple[str, ...]
    """The nodes whose states it has."""
    front: bool
    """Nothing had been dealt with at `icount`."""
    pages: int
    """Pages of guest memory that are not all zero."""
    bytes: int
    """Its file, the pages that were new in it and, where it is the oldest that needs them, those that were new in
    snapshots that are gone: all heads together are the whole store."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A snapshot's file that has been looked at."""

    signature: Signature
    head: Head
    packs: tuple[int, ...]


class SnapshotStore:
    """The snapshots of one recording; never writes.

    Pages are checked frame by frame, by the checksum of zstd that the pack's index also has, and the index by the hash
    of all hashes of a snapshot's pages: what is loaded is what was saved, or DamagedSnapshot says what is not.
    """

    def __init__(self, recording: Path, recording_id: str) -> None:
        self._folder = recording / SNAPSHOTS_NAME
        self._recording_id = recording_id
        self._known: dict[int, _Known] = {}
        self._good_packs: dict[int, Signature] = {}
        self._files: Files | None = None
        """The files whose list is known."""
        self._heads: tuple[Head, ...] = ()
        self.damage: tuple[str, ...] = ()
        """What list() left out, a line each."""

    def list(self) -> tuple[Head, ...]:
        """The snapshots that are whole, by icount and number; what is not is told in `damage`.

        Looks at files that have changed since the last call.  Pages are not unpacked: a page that is damaged shows when
        it is loaded.
        """
        files = files_of(self._folder)
        if files != self._files:
            self._heads = self._list(files)
            # What could not be read may be readable the next time.
            self._files = None if self.damage else files
        return self._heads

    def _list(self, files: Files) -> tuple[Head, ...]:
        packs: dict[int, Signature | str] = {}
        found: dict[int, _Known] = {}
        damage: list[str] = []
        for number in sorted(number for number, kind in files if kind == "snapshot"):
            try:
                known = self._look(number, files[number, "snapshot"])
                for pack in known.packs:
                    self._check_pack(pack, files, packs)
            except SnapshotError as error:
                # Who deletes a snapshot while it is looked at has not damaged it.
                if snapshot_path(self._folder, number).exists():
                    damage.append(str(error))
            else:
                found[number] = known
        self._known, self.damage = found, tuple(damage)
        self._good_packs = {number: state for number, state in packs.items() if not isinstance(state, str)}
        sizes = shares(
            {number: (known.head.icount, known.packs) for number, known in found.items()},
            {number: state[1] for number, state in self._good_packs.items()},
        )
        heads = (_with_bytes(known, sizes[number]) for number, known in found.items())
        return tuple(sorted(heads, key=lambda head: (head.icount, head.number)))

    def nearest(self, icount: int, nodes: Collection[str] = ("cpu",)) -> Head | None:
        """The last one with nothing dealt with at `icount`, or before it, that has the state of all these nodes."""
        wanted = set(nodes)
        return next(
            (
                head
                for head in reversed(self.list())
                if (head.icount < icount or (head.icount == icount and head.front)) and wanted <= {*head.nodes}
            ),
            None,
        )

    def named(self, label: str) -> Head | None:
        """The newest that was given this name."""
        return max((head for head in self.list() if head.label == label), key=lambda head: head.number, default=None)

    def holds(self, number: int) -> bool:
        """Whether there is such a snapshot, damaged or not."""
        return snapshot_path(self._folder, number).exists()

    def files(self, number: int) -> tuple[Path, ...]:
        """The files that a snapshot is in, its own first; SnapshotError as read()."""
        file = read_file(self._folder, number, self._recording_id)
        return snapshot_path(self._folder, number), *(pack_path(self._folder, pack) for pack, _ in file.packs)

    def read(self, number: int) -> Snapshot:
        """A snapshot without its pages; MissingSnapshot, DamagedSnapshot, ForeignSnapshot shows both ids."""
        return read_file(self._folder, number, self._recording_id).snapshot

    def load_memory(self, number: int, into: memoryview) -> int:
        """Fill in the pages of a snapshot; how many.

        `into` is as long as its memory and all zero.  SnapshotError as read(); then some pages may have been written.
        """
        with self._pages_of(number, len(into)) as (page_map, parts):
            for opened, pieces in parts:
                opened.load(pieces, into.cast("B"))
        return page_map.pages

    def check(self, number: int) -> None:
        """SnapshotError where load_memory() would raise it: as much work, but none for memory."""
        with self._pages_of(number, self.read(number).memory) as (_, parts):
            for opened, pieces in parts:
                opened.check(pieces)

    def differing(self, number: int, memory: memoryview, touched: Iterable[tuple[int, int]]) -> int | None:
        """The first page of a memory that is not as in a snapshot; None if there is none.

        `touched` are the parts of it, first byte and the byte behind, outside of which all is zero, in order and whole
        pages.  Nothing is unpacked where the pack has quick hashes, else a frame at a time.
        SnapshotError as read().
        """
        with self._pages_of(number, len(memory)) as (page_map, parts):
            found = {page for opened, pieces in parts for page in opened.differing(pieces, memory)}
            found.update(_not_zero(memory, touched, ((first, count) for first, count, _, _ in page_map.runs())))
        return min(found, default=None)

    @contextmanager
    def _pages_of(self, number: int, memory: int) -> Iterator[tuple[PageMap, Opened]]:
        """A snapshot's page map, and of each pack which pages are where in memory; what is wrong is raised here."""
        file = read_file(self._folder, number, self._recording_id)
        if memory != file.snapshot.memory:
            held = file.snapshot.memory
            raise StateError(f"snapshot {number} is of {held} bytes of memory, this machine has {memory}")
        try:
            page_map = map_of(file, self._folder)
            with ExitStack() as stack:
                yield page_map, self._open_all(file, page_map, stack)
        except DamagedSnapshot:
            # If it has been deleted meanwhile, that is what there is to say.
            read_file(self._folder, number, self._recording_id)
            raise

    def _open_all(self, file: SnapshotFile, page_map: PageMap, stack: ExitStack) -> Opened:
        pieces: dict[int, list[tuple[int, int, int]]] = {pack: [] for pack, _ in file.packs}
        packs = {pack: stack.enter_context(self._open(pack)) for pack in pieces}
        hashes = {pack: opened.read_hashes() for pack, opened in packs.items()}
        positions = {pack: opened.position for pack, opened in packs.items()}
        if content_of(page_map, positions, hashes) != file.content:
            raise DamagedSnapshot(
                f"{snapshot_path(self._folder, file.snapshot.number)}: the pages that are there are not the "
                "snapshot's; delete it"
            )
        for page, count, pack, slot in page_map.runs():
            pieces[pack].append((positions[pack](slot, count), page, count))
        return [(opened, pieces[pack]) for pack, opened in packs.items()]

    def _open(self, pack: int) -> Pack:
        return Pack(self._folder, pack)

    def _look(self, number: int, signature: Signature) -> _Known:
        known = self._known.get(number)
        if known is not None and known.signature == signature:
            return known
        file = read_file(self._folder, number, self._recording_id)
        return _Known(signature, head_of(file, signature[1]), tuple(pack for pack, _ in file.packs))

    def _check_pack(self, number: int, files: Files, seen: dict[int, Signature | str]) -> None:
        """DamagedSnapshot unless a pack's index is good; `seen` is what is known of packs by now."""
        state = seen.get(number)
        if state is None:
            signature = files.get((number, "pages"))
            if signature is not None and self._good_packs.get(number) == signature:
                state = signature
            else:
                state = self._judge(number)
            seen[number] = state
        if isinstance(state, str):
            raise DamagedSnapshot(state)

    def _judge(self, number: int) -> Signature | str:
        try:
            with self._open(number) as pack:
                return pack.signature
        except SnapshotError as error:
            return str(error)


def _not_zero(memory: memoryview, touched: Iterable[tuple[int, int]], runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The pages that are not all zero in the touched parts of a memory, but for runs of pages."""
    taken = bytearray(len(memory) // PAGE_BYTES)
    for first, count in runs:
        taken[first : first + count] = b"\1" * count
    zero = bytearray(PAGE_BYTES)
    for start, end in touched:
        page = taken.find(0, start // PAGE_BYTES, end // PAGE_BYTES)
        while page >= 0:
            if zero != memory[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]:
                yield page
            page = taken.find(0, page + 1, end // PAGE_BYTES)


def head_of(file: SnapshotFile, size: int) -> Head:
    """What a list shows of a snapshot with a file of `size` bytes, its share of the packs left out."""
    snapshot = file.snapshot
    return Head(
        snapshot.number,
        snapshot.icount,
        snapshot.seq,
        snapshot.label,
        snapshot.at,
        snapshot.at_ns,
        snapshot.made_ns,
        snapshot.work_ns,
        tuple(node.name for node in snapshot.nodes),
        snapshot.front,
        sum(pages for _, pages in file.packs),
        size,
    )


def map_of(file: SnapshotFile, folder: Path) -> PageMap:
    """A file's page map; DamagedSnapshot if it is none."""
    try:
        page_map = file.map()
    except StateError as error:
        raise DamagedSnapshot(f"{snapshot_path(folder, file.snapshot.number)}: {error}") from error
    if page_map.packs() != dict(file.packs):
        raise DamagedSnapshot(f"{snapshot_path(folder, file.snapshot.number)}: the page map names other packs")
    return page_map


def content_of(
    page_map: PageMap, positions: Mapping[int, Callable[[int, int], int]], hashes: Mapping[int, bytes | bytearray]
) -> bytes:
    """The hash of the hashes of a map's pages, by where each pack has its slots, and its hashes."""
    views = {pack: memoryview(column) for pack, column in hashes.items()}

    def columns() -> Iterable[memoryview]:
        for _, count, pack, slot in page_map.runs():
            start = positions[pack](slot, count) * HASH_BYTES
            yield views[pack][start : start + count * HASH_BYTES]

    return digest_of(*columns())


def shares(needs: Mapping[int, tuple[int, tuple[int, ...]]], sizes: Mapping[int, int]) -> dict[int, int]:
    """The bytes of packs that each snapshot answers for.

    `needs`: snapshot -> its icount and the packs it needs; `sizes`: bytes of each pack.  A pack belongs to the snapshot
    whose new pages it held, or to the oldest that needs it.
    """
    shared = dict.fromkeys(needs, 0)
    taken: set[int] = set()
    for number in sorted(needs, key=lambda number: (needs[number][0], number)):
        for pack in needs[number][1]:
            if pack not in taken and (pack == number or pack not in needs):
                taken.add(pack)
                shared[number] += sizes[pack]
    return shared


def _with_bytes(known: _Known, share: int) -> Head:
    return replace(known.head, bytes=known.head.bytes + share)
