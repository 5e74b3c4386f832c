"""Where gdb comes in: a listening socket, and connections that cannot hold the machine up for long."""

from __future__ import annotations

import logging
import socket
from typing import Final

from machine.listening import forget, listen, parse_address

log = logging.getLogger("dejavm")
OPTION: Final = "--gdb"
PATIENCE_S: Final = 5.0
"""How long a gdb may take to read what it has asked for."""


class Listener:
    """Open until close()."""

    def __init__(self, word: str, *, quiet: bool = False) -> None:
        self._socket, self.address = listen(parse_address(word, OPTION), OPTION)
        where = self.address.path or f"{self.address.host}:{self.address.port}"
        log.log(logging.INFO if quiet else logging.WARNING, "waiting for gdb: target remote %s", where)

    def fileno(self) -> int:
        """Readable when somebody comes."""
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """Who has come; None if nobody has, or is gone again."""
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return None
        connection.settimeout(PATIENCE_S)
        if not self.address.path:
            # A packet is a question or an answer, and somebody waits for it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        """Nobody comes any more."""
        self._socket.close()
        forget(self.address)
