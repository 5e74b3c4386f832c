"""What the machine's control wants of the guest, before its first sync point: keys and the like, a reset."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER
from machine.message import HostInput

if TYPE_CHECKING:
    from replay_broker.inputs import PendingInputs

_HOST_INPUT = type_of(HostInput)


class Outside:
    """Inputs that wait, and whether a reset does."""

    def __init__(self) -> None:
        self._inputs: deque[tuple[int, HostInput, bool]] = deque()
        """Target, input, whether it goes in turn."""
        self._turns_ns: dict[int, int] = {}
        """When the last input that goes in turn is due, by device."""
        self.reset = False

    def __bool__(self) -> bool:
        """Whether a sync point is wanted."""
        return self.reset or bool(self._inputs)

    def __len__(self) -> int:
        """Inputs that wait."""
        return len(self._inputs)

    def by_node(self) -> Counter[int]:
        """How many, by device."""
        return Counter(target for target, _, _ in self._inputs)

    def submit(self, target: int, message: HostInput, *, in_turn: bool) -> None:
        """An input; its delay counts from the sync point, or from the one before that was submitted in turn."""
        self._inputs.append((target, message, in_turn))

    def admit(self, pending: PendingInputs, now_ns: int) -> None:
        """This is their first sync point: their delays begin."""
        while self._inputs:
            target, message, in_turn = self._inputs.popleft()
            due_ns = message.delay_ns + (max(now_ns, self._turns_ns.get(target, 0)) if in_turn else now_ns)
            if in_turn:
                self._turns_ns[target] = due_ns
            marked = replace(message, by_monitor=True)
            pending.add(Frame(_HOST_INPUT, BROKER, target, 0, encode(marked)), due_ns)
