"""How long the machine's queues are, as far as its messages tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from machine.codec import decode
from machine.errors import RemoteWireError
from machine.message import AccessKind, BackendResult, FifoData, HostOutput, MmioAccess, ReadKind, RegisterMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.frame import Frame
    from machine.message import Access


class QueueLength(NamedTuple):
    """A queue of a device and its new length."""

    node: int
    name: str
    unit: str
    length: int


class Queues:
    """Follows the queues of every device: what a guest may read, what was gathered for it, what its backend left."""

    def __init__(self) -> None:
        self._fifo: dict[int, int] = {}
        self._fifo_registers: dict[int, set[int]] = {}
        self._offered: dict[int, int] = {}

    def after(self, frame: Frame) -> Iterator[QueueLength]:
        """The queues that a message has changed."""
        try:
            message = decode(frame.type, frame.payload)
        except RemoteWireError:
            return
        match message:
            case FifoData(data):
                yield self._set_fifo(frame.source, self._fifo.get(frame.source, 0) + len(data))
            case RegisterMap():
                yield from self._remap(frame.source, message)
            case MmioAccess(accesses):
                yield QueueLength(frame.target, "gathered accesses", "accesses", sum(map(_times, accesses)))
                if popped := sum(access.value for access in accesses if access.kind is AccessKind.POP):
                    yield self._set_fifo(frame.target, max(0, self._fifo.get(frame.target, 0) - popped))
            case HostOutput(data):
                self._offered[frame.source] = len(data)
            case BackendResult(accepted):
                left = max(0, self._offered.pop(frame.source, 0) - accepted)
                yield QueueLength(frame.source, "output not taken", "bytes", left)
            case _:
                pass

    def _set_fifo(self, node: int, length: int) -> QueueLength:
        self._fifo[node] = length
        return QueueLength(node, "received and not read", "bytes", length)

    def _remap(self, node: int, message: RegisterMap) -> Iterator[QueueLength]:
        """A queue's register that is a queue's no more takes the queue with it."""
        registers = self._fifo_registers.setdefault(node, set())
        for register in message.registers:
            if register.read is ReadKind.FIFO:
                registers.add(register.offset)
            elif register.offset in registers:
                registers.discard(register.offset)
                if self._fifo.get(node):
                    yield self._set_fifo(node, 0)


def _times(access: Access) -> int:
    """How often the guest has done it."""
    return access.value if access.kind is AccessKind.POP else len(access.data) or 1
