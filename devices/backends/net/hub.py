"""`hub`: the cards of one machine, or of several, on one Ethernet hub: what one sends all the others get.

Each card is a process of its own with a datagram socket in the hub's directory; who is in the directory is on the
hub.  A datagram is a whole message of frames.  A card that does not listen loses frames and holds up nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import stat
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CableWord
from devices.backends.net.frames import MESSAGE_BYTES, pack, unpack
from devices.backends.net.senders import UnixSender
from devices.backends.net.wire import Wire
from devices.backends.place import run_directory
from devices.backends.words import number, parse_options
from machine.errors import BackendError, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend

log = logging.getLogger("dejavm")

HIGHEST_ID: Final = 9999
KEPT_MESSAGES: Final = 32
"""What is kept for a card that is slow; the kernel keeps some more (net.unix.max_dgram_qlen)."""
MODE: Final = 0o700


_NAME: Final = re.compile(r".+\.[1-9][0-9]*", re.DOTALL)
"""A card's file: its name and its process."""


class Member:
    """Another card on the hub, and what it has not taken yet."""

    def __init__(self, path: str, name: str) -> None:
        self.sender = UnixSender(path)
        self._name = name
        self._kept: deque[bytes] = deque()
        self.lost = 0
        """Messages it never got."""

    @property
    def waiting(self) -> bool:
        """Whether something is kept for it."""
        return bool(self._kept)

    def send(self, message: bytes) -> None:
        """Send or keep; when too much is kept the newest is lost."""
        self.flush()
        if not self._kept and self.sender.send(message):
            return
        if len(self._kept) < KEPT_MESSAGES:
            self._kept.append(message)
            return
        if not self.lost:
            log.warning("%s: %s on the hub is slow and misses frames", self._name, Path(self.sender.path).name)
        self.lost += 1

    def flush(self) -> None:
        """Send what is kept, as far as it is taken."""
        while self._kept and self.sender.send(self._kept[0]):
            self._kept.popleft()


class HubWire(Wire):
    """Our socket in the directory, and a Member for each of the others'."""

    def __init__(self, directory: Path | None, number_: int, name: str) -> None:
        super().__init__()
        self._given = directory
        self._number = number_
        self._name = name
        self._directory = -1
        self._receiver: socket.socket | None = None
        self._members: dict[str, Member] = {}
        self._others: set[str] = set()
        """What is in the directory and no card's."""

    @property
    def member_name(self) -> str:
        """Our file in the directory: no other process on this host has it."""
        return f"{self._name}.{os.getpid()}"

    def plug(self) -> None:
        """Appear in the directory, which is made if it is not there."""
        try:
            directory = self._given or run_directory() / f"hub-{self._number}"
        except BackendError as error:
            raise BackendError(f"{self._name}: hub: {reason_of(error)}") from error
        try:
            directory.mkdir(mode=MODE, exist_ok=True)
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._receiver.setblocking(False)
            self._receiver.bind(self._path(self.member_name))
        except OSError as error:
            self.close()
            raise BackendError(f"{self._name}: hub {directory}: {error.strerror or error}") from error
        self._tell_link(True)

    def close(self) -> None:
        """Disappear from the directory, and forget the others."""
        for member in self._members.values():
            member.sender.close()
        self._members.clear()
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
            with contextlib.suppress(OSError):
                os.unlink(self.member_name, dir_fd=self._directory)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def descriptors(self, *, reads: bool) -> Sequence[tuple[int, bool, bool]]:
        """Our socket, and those of members for whom something is kept."""
        wanted = [(each.sender.descriptor, False, True) for each in self._members.values() if each.waiting]
        if reads and self._receiver is not None:
            wanted.append((self._receiver.fileno(), True, False))
        return [each for each in wanted if each[0] >= 0]

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """One message, or room at a member's."""
        if self._receiver is None or descriptor != self._receiver.fileno():
            for member in self._members.values():
                if member.sender.descriptor == descriptor:
                    member.flush()
            return []
        try:
            return list(unpack(self._receiver.recv(MESSAGE_BYTES)))
        except OSError:
            return []

    def send(self, frames: Sequence[bytes]) -> int:
        """To everybody else; all is taken, whatever becomes of it."""
        self._look_round()
        message = pack(frames)
        for name, member in list(self._members.items()):
            member.send(message)
            if member.sender.refused:
                self._bury(name)
        return len(frames)

    def _look_round(self) -> None:
        """Notice who has come and who has gone."""
        names = set(os.listdir(self._directory)) - {self.member_name}
        self._others &= names
        for name in self._members.keys() - names:
            self._members.pop(name).sender.close()
        for name in sorted(names - self._members.keys() - self._others):
            if self._is_card(name):
                self._members[name] = Member(self._path(name), self._name)
            else:
                self._others.add(name)

    def _is_card(self, name: str) -> bool:
        """Whether it is a card's file, of our kind at least: whatever else is in the directory is not ours."""
        try:
            mode = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mode
        except OSError:
            return False
        return stat.S_ISSOCK(mode) and _NAME.fullmatch(name) is not None

    def _bury(self, name: str) -> None:
        """Remove a member that does not listen: its process has gone without a word."""
        self._members.pop(name).sender.close()
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._directory)

    def _path(self, name: str) -> str:
        """A socket's path, short however long the directory's is (unix(7) has 108 bytes for it)."""
        return f"/proc/self/fd/{self._directory}/{name}"


def create_hub(argument: str, name: str) -> Backend:
    """`hub[,id=N]` for the cards of this machine, `hub,path=DIRECTORY` for those of several."""
    word = CableWord.of("hub", argument, name)
    where = f"{name}: backend {word.wire}"
    options = parse_options(word.options, ("id", "path"), where)
    if "path" in options and "id" in options:
        raise BackendError(f"{where}: id and path contradict each other")
    number_ = number(options.get("id", "0"), 0, HIGHEST_ID, f"{where}: id")
    directory = Path(options["path"]) if options.get("path") else None
    if "path" in options and directory is None:
        raise BackendError(f"{where}: path: which directory?")
    return NetBackend(name, word, HubWire(directory, number_, name))
