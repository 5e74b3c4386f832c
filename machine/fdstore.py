"""Descriptors that outlive a process: it leaves them with who looks after the machine, its successor finds them there.

As systemd's file descriptor store (sd_pid_notify_with_fds(3)): sockets, pipes and terminals stay open meanwhile.
What is on its way to it is safe already: the kernel holds what is in a socket's queue.

Lives here: both sides.  Never here: what the descriptors are.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from machine.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

SOCKET_NAME: Final = "fdstore"
"""In the running machine's directory."""
LEAVE, FIND, TAKE_OUT = b"L", b"F", b"T"
NAME_BYTES: Final = 200
DESCRIPTORS: Final = 8
"""Under one name."""
NAMES: Final = 256
PATIENCE_S: Final = 20.0
WAIT_S: Final = 0.02
WAITS: Final = 1000
SUPERVISED: Final = "DEJAVM_SUPERVISED"
"""Set where a listener of supervisor's keeps descriptors."""


class FdStore:
    """The keeping side; `fd` becomes readable when serve() has something to do."""

    def __init__(self, directory: Path) -> None:
        """MachineError if there can be no socket in the directory."""
        self._kept: dict[str, tuple[int, ...]] = {}
        self._selector = selectors.EpollSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # Of one that was killed, or of an earlier run there.
            (directory / SOCKET_NAME).unlink(missing_ok=True)
            self._listener.bind(str(directory / SOCKET_NAME))
            self._listener.listen(64)
        except OSError as error:
            self._listener.close()
            raise MachineError(f"{directory / SOCKET_NAME}: cannot listen: {error.strerror}") from error
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def fd(self) -> int:
        """What tells that somebody wants something."""
        return self._selector.fileno()

    def serve(self) -> None:
        """Do what has been asked; never waits."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._listener:
                with suppress(OSError):
                    client, _ = self._listener.accept()
                    client.setblocking(False)
                    self._selector.register(client, selectors.EVENT_READ)
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._hear(key.fileobj)

    def close(self) -> None:
        """Close everything that is kept."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        for name in list(self._kept):
            self._drop(name)

    def _hear(self, client: socket.socket) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client, 1 + NAME_BYTES, DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        verb, name = data[:1], data[1:].decode(errors="replace")
        if verb == LEAVE and (name in self._kept or len(self._kept) < NAMES):
            self._drop(name)
            self._kept[name] = tuple(descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        if verb == FIND:
            with suppress(OSError):
                socket.send_fds(client, [b"!"], list(self._kept.get(name, ())))
        elif verb == TAKE_OUT:
            self._drop(name)
        elif not verb:
            self._selector.unregister(client)
            client.close()

    def _drop(self, name: str) -> None:
        for descriptor in self._kept.pop(name, ()):
            os.close(descriptor)


class FdStoreClient:
    """The other side.  Where nobody keeps nothing is kept, and nothing found."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET_NAME
        self._socket: socket.socket | None = None
        self._tried = False

    def leave(self, name: str, descriptors: tuple[int, ...]) -> None:
        """Leave descriptors under a name, in place of what is there."""
        self._say(LEAVE + name.encode(), descriptors)

    def find(self, name: str) -> tuple[int, ...]:
        """What was left under a name; it stays there too."""
        connection = self._say(FIND + name.encode())
        if connection is None:
            return ()
        try:
            _, descriptors, _, _ = socket.recv_fds(connection, 1, DESCRIPTORS)
        except OSError:
            return ()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return tuple(descriptors)

    def take_out(self, name: str) -> None:
        """Have it closed."""
        self._say(TAKE_OUT + name.encode())

    def close(self) -> None:
        """Nothing more is left or found; what was left stays."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, request: bytes, descriptors: tuple[int, ...] = ()) -> socket.socket | None:
        """Say something to who keeps; where it was said, None if nobody keeps."""
        # Who kept may have been killed: then another one may be there.
        for connection in (self._connected(), None):
            self._socket = connection or self._connect()
            if self._socket is None:
                return None
            try:
                socket.send_fds(self._socket, [request], list(descriptors))
            except OSError:
                self.close()
            else:
                return self._socket
        return None

    def _connected(self) -> socket.socket | None:
        if self._socket is None and not self._tried:
            self._tried = True
            self._socket = self._connect()
            # Under supervisor everybody starts at once, and who keeps descriptors may be there last.
            tries = WAITS if os.environ.get(SUPERVISED) else 0
            while self._socket is None and tries:
                select.select((), (), (), WAIT_S)
                self._socket = self._connect()
                tries -= 1
        return self._socket

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return None
        return connection
