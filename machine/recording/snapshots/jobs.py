"""The jobs of the process that writes snapshots: what each line asks for, and the line that answers it."""

from __future__ import annotations

import base64
import binascii
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from machine.errors import MachineError, UsageError
from machine.recording.snapshots.snapshot import PAGE_BYTES, Snapshot
from machine.vmstate import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from machine.recording.snapshots.writer import SnapshotWriter

READ_BYTES: Final = 1 << 20
Job = dict[str, object]


class Jobs:
    """Does one job after the other with one writer."""

    def __init__(self, writer: SnapshotWriter) -> None:
        self._writer = writer

    def do(self, line: bytes) -> str:
        """Do what a line asks for; the line to answer.  What goes wrong is answered too."""
        number = 0
        try:
            job = _parse(line)
            if "delete" in job:
                number = _number(job, "delete")
                self._writer.delete(number)
                return json.dumps({"number": number, "deleted": True})
            snapshot = _snapshot(job)
            number = snapshot.number
            return json.dumps(self._add(snapshot, job))
        except MachineError as error:
            return json.dumps({"number": number, "error": str(error)})
        except OSError as error:
            return json.dumps({"number": number, "error": f"cannot read the staged pages: {error.strerror}"})

    def close(self) -> None:
        """There are no more."""
        # What cannot be tidied up now the next writer finds.
        with suppress(MachineError):
            self._writer.close()

    def _add(self, snapshot: Snapshot, job: Job) -> Mapping[str, object]:
        granule = _number(job, "granule")
        base = None if job.get("base") is None else _number(job, "base")
        if granule <= 0 or granule % PAGE_BYTES:
            raise UsageError(f"a granule of {granule} bytes is not whole pages")
        staging = os.open(_text(job, "staging"), os.O_RDWR | os.O_CLOEXEC)
        try:
            pages = staged_pages(staging, granule, _numbers(job, "granules"), snapshot.memory)
            head = self._writer.add(snapshot, pages, base)
        finally:
            # To give the copy back takes a tenth of a second for all memory: not while the guest stands next time.
            os.ftruncate(staging, 0)
            os.close(staging)
        answer: dict[str, object] = {"number": head.number, "bytes": head.bytes, "pages": head.pages}
        try:
            # The snapshot is there, whatever becomes of the others.
            answer["dropped"] = list(self._writer.thin(keep=(head.number,)))
        except MachineError as error:
            answer |= {"dropped": [], "warning": str(error)}
        return answer


def staged_pages(staging: int, granule: int, granules: Sequence[int], memory: int) -> Iterator[tuple[int, memoryview]]:
    """The pages of some granules of a file as large as memory, in order; each is good until the next is asked for.

    UsageError for a granule that is not in it.
    """
    buffer = memoryview(bytearray(READ_BYTES))
    for start, end in _spans(sorted(set(granules)), granule, memory):
        for offset in range(start, end, READ_BYTES):
            part = buffer[: min(READ_BYTES, end - offset)]
            _fill(staging, part, offset)
            page = offset // PAGE_BYTES
            for at in range(0, len(part), PAGE_BYTES):
                yield page, part[at : at + PAGE_BYTES]
                page += 1


def _spans(granules: Sequence[int], granule: int, memory: int) -> Iterator[tuple[int, int]]:
    """First byte and the one behind the last of each run of granules."""
    if granules and (granules[0] < 0 or granules[-1] * granule >= memory):
        raise UsageError(f"granules {granules[0]} to {granules[-1]} are not all in a memory of {memory} bytes")
    start = end = -1
    for number in granules:
        if number * granule != end:
            if start >= 0:
                yield start, end
            start = number * granule
        end = min((number + 1) * granule, memory)
    if start >= 0:
        yield start, end


def _fill(staging: int, part: memoryview, offset: int) -> None:
    """Read all of a part; what is behind the file's end is zero, as in any hole."""
    done = 0
    while done < len(part):
        count = os.preadv(staging, [part[done:]], offset + done)
        if not count:
            part[done:] = bytes(len(part) - done)
            return
        done += count


def _parse(line: bytes) -> Job:
    try:
        job = json.loads(line)
    except ValueError as error:
        raise UsageError(f"a job is one line of JSON: {error}") from error
    if not isinstance(job, dict) or not ("delete" in job or "snapshot" in job):
        raise UsageError('a job is {"snapshot": ...} or {"delete": N}')
    return job


def _snapshot(job: Job) -> Snapshot:
    try:
        return decode(Snapshot, base64.b64decode(_text(job, "snapshot"), validate=True))
    except binascii.Error as error:
        raise UsageError(f"snapshot: not base64: {error}") from error


def _number(job: Job, key: str) -> int:
    value = job.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{key}: missing or not a number")
    return value


def _numbers(job: Job, key: str) -> list[int]:
    value = job.get(key)
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise UsageError(f"{key}: missing or not a list of numbers")
    return value


def _text(job: Job, key: str) -> str:
    value = job.get(key)
    if not isinstance(value, str):
        raise UsageError(f"{key}: missing or not a string")
    return value
