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
                # All of it: what one that has died has left comes before what its successor looks for.
                while self._hear(key.fileobj):
                    pass

    def close(self) -> None:
        """Close everything that is kept."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        for name in list(self._kept):
            self._drop(name)

    def _hear(self, client: socket.socket) -> bool:
        """Do one thing; whether there may be more."""
        try:
            data, descriptors, _, _ = socket.recv_fds(client, 1 + NAME_BYTES, DESCRIPTORS)
        except BlockingIOError:
            return False
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        verb, name = data[:1], data[1:].decode(errors="replace")
        if verb == LEAVE and (name in self._kept or len(self._kept) < NAMES):
            self._drop(name)
            self._kept[name] = tuple(descriptors)
            return True
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
        return bool(verb)

    def _drop(self, name: str) -> None:
        for descriptor in self._kept.pop(name, ()):
            os.close(descriptor)


class FdStoreClient:
    """The other side.  Where nobody keeps nothing is kept, and nothing found."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET_NAME
        self._socket: socket.socket | None = None
        self._tried = self._lost = False
        self._left: dict[str, tuple[int, ...]] = {}
        """What is kept, once more: whoever comes in the place of who keeps it is left all of it."""

    def leave(self, name: str, descriptors: tuple[int, ...]) -> None:
        """Leave descriptors under a name, in place of what is there."""
        self._forget(name)
        if self._say(LEAVE + name.encode(), descriptors) is not None:
            self._left[name] = tuple(map(os.dup, descriptors))

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
        self._forget(name)
        if descriptors:
            self._left[name] = tuple(map(os.dup, descriptors))
        return tuple(descriptors)

    def take_out(self, name: str) -> None:
        """Have it closed."""
        self._forget(name)
        self._say(TAKE_OUT + name.encode())

    def close(self) -> None:
        """Nothing more is left or found; what was left stays."""
        self._hang_up()
        for name in list(self._left):
            self._forget(name)

    def _forget(self, name: str) -> None:
        for descriptor in self._left.pop(name, ()):
            os.close(descriptor)

    def _say(self, request: bytes, descriptors: tuple[int, ...] = ()) -> socket.socket | None:
        """Say something to who keeps; where it was said, None if nobody keeps."""
        if not self._lost:
            self._socket = self._socket or self._await()
            if self._socket is None:
                return None
            with suppress(OSError):
                socket.send_fds(self._socket, [request], list(descriptors))
                return self._socket
            self._lost = True
        # Who kept has been killed: with whoever is there now nothing has been left.
        self._hang_up()
        self._socket = self._connect()
        with suppress(OSError):
            return self._say_all(self._socket, request, descriptors)
        return None

    def _say_all(
        self, connection: socket.socket | None, request: bytes, descriptors: tuple[int, ...]
    ) -> socket.socket | None:
        if connection is not None:
            for name, kept in self._left.items():
                socket.send_fds(connection, [LEAVE + name.encode()], list(kept))
            socket.send_fds(connection, [request], list(descriptors))
            self._lost = False
        return connection

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _await(self) -> socket.socket | None:
        """The connection, the first time; where nobody keeps nobody will."""
        if self._tried:
            return None
        self._tried = True
        connection = self._connect()
        # Under supervisor everybody starts at once, and who keeps descriptors may be there last.
        tries = WAITS if os.environ.get(SUPERVISED) else 0
        while connection is None and tries:
            select.select((), (), (), WAIT_S)
            connection = self._connect()
            tries -= 1
        return connection

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return None
        return connection
