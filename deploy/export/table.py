"""The formats a recording can be exported in, each a module that is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from machine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.frame import Frame
    from machine.recording.reader import Recording

GUEST: Final = "guest"
HOST: Final = "host"


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a recording is wanted: one device's part, or all; which clock its times are, GUEST or HOST."""

    node: str | None = None
    clock: str = GUEST


class Exporter(Protocol):
    """A format's module."""

    def export(self, recording: Recording, frames: Iterable[Frame], choice: Choice) -> Iterator[bytes]:
        """The file, piece by piece, of the recording's messages; UsageError, before any, for what cannot be had."""


FORMATS: Final[Mapping[str, str]] = {
    "pcapng": "the packets of every network card, for Wireshark and its kin",
    "asciicast": "a serial line as a terminal session, for asciinema (version 2)",
    "perfetto": "every process and message along a time line, for ui.perfetto.dev and trace_processor",
}
"""Each is a module beside this one."""


def exporter(name: str) -> Exporter:
    """The module of a format of FORMATS."""
    return cast("Exporter", importlib.import_module(f"deploy.export.{name}"))


def chosen_devices(recording: Recording, kind: str, node: str | None) -> list[tuple[int, str]]:
    """Number and name of each device of a kind, or of the one that is asked for; UsageError if there is none."""
    devices = [(number, slot) for number, slot in enumerate(recording.board.devices, 2)]
    found = [(number, slot.name) for number, slot in devices if slot.kind == kind]
    if not found:
        raise UsageError(f"{recording.path}: the recorded machine has no device of kind {kind}")
    chosen = [(number, name) for number, name in found if node in (None, name)]
    if not chosen:
        known = ", ".join(name for _, name in found)
        raise UsageError(f"--node {node}: the recorded devices of kind {kind} are {known}")
    return chosen
