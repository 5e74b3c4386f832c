"""A device between a driver and a real backend, without its process: recorded as it runs, replayed from that alone.

Lives here: what devices/node.py does around a model, over the real gates, and the comparison of a replay.
Never here: sockets of the broker's, tests.
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from devices.backends.base import BackendBase
from devices.gate import LiveGate
from devices.replay_gate import ReplayGate
from machine.message import BackendResult, HostInput, HostOutput
from machine.vmstate import decode, encode
from tests.harness.host_loop import PATIENCE_MS, serve_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devices.link import Link
    from devices.model import Backend, DeviceContext, DeviceModel
    from machine.message import HostEvent, Message
    from tests.harness.fake_context import DirectCpu


@dataclass(slots=True)
class Told:
    """One call of the model: what it was told, all that it asked its context for, what it answered."""

    name: str
    arguments: tuple[Any, ...]
    asked: list[tuple[str, tuple[Any, ...], Any]] = field(default_factory=list)
    answer: Any = None


class _Ear:
    """The context of a recorded model: hands on what is asked for, and writes it down with its answer."""

    def __init__(self, context: DeviceContext, gate: LiveGate, told: Told) -> None:
        self._context, self._gate, self._told = context, gate, told

    def __getattr__(self, name: str) -> Any:
        if name == "icount":
            return self._context.icount
        asked = getattr(self._gate if name == "output" else self._context, name)

        def ask(*arguments: Any) -> Any:
            answer = asked(*arguments)
            self._told.asked.append((name, arguments, answer))
            return answer

        return ask


class _Recorded:
    """Stands in for a model: each of its calls is written down, and the backend goes on behind each message."""

    def __init__(self, model: DeviceModel, gate: LiveGate, tape: list[Told]) -> None:
        self._model, self._gate, self._tape = model, gate, tape

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._model, name)
        if name in ("state", "input_room"):
            return method

        def tell(*arguments: Any) -> Any:
            told = Told(name, arguments[:-1])
            self._tape.append(told)
            told.answer = method(*told.arguments, _Ear(arguments[-1], self._gate, told))
            if name == "settle":
                self._gate.handled(self._gate.room(self._model.input_room()))
            return told.answer

        return tell


class _PresentLink:
    """devices/link.py, Link, to a broker that keeps the inputs for the next sync point."""

    icount = 0

    def __init__(self) -> None:
        self.inputs: deque[HostInput] = deque()

    def say(self, message: Message, target: int) -> None:
        """Inputs wait; all else is on the tape."""
        if isinstance(message, HostInput):
            self.inputs.append(message)

    def flush(self) -> None:
        """Everything goes at once."""


class _Past:
    """A replayed model's context and its gate's link: the tape answers, and what differs from it is an error."""

    icount = 0

    def __init__(self) -> None:
        self.asked: Iterator[tuple[str, tuple[Any, ...], Any]] = iter(())
        self.gate: ReplayGate | None = None

    def say(self, message: Message, target: int) -> None:
        """Only an escape key would say something."""
        raise AssertionError(f"a replay says {message}")

    def ask(self, question: HostOutput, answer: type[BackendResult]) -> BackendResult:
        """What the recorded backend took."""
        return cast("BackendResult", self._answer("output", (question.data,)))

    def __getattr__(self, name: str) -> Any:
        if name == "output" and self.gate is not None:
            return self.gate.output
        return lambda *arguments: self._answer(name, arguments)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        expected = next(self.asked, None)
        assert expected is not None, f"a replay asks for {name}{arguments}, the recording for nothing more"
        assert (name, arguments) == expected[:2]
        return expected[2]


class Erratic(BackendBase):
    """A backend that says what a test says and takes what a test lets it."""

    takes = 0

    def say(self, event: HostEvent, data: bytes) -> None:
        """What it has brought."""
        self._submit(event, data, 0)

    def write(self, data: bytes) -> BackendResult:
        """As far as it takes; then it has failed."""
        taken = min(self.takes, len(data))
        self.takes -= taken
        return BackendResult(taken, 0 if taken == len(data) or self.takes % 2 else errno.EPIPE)


class Hosted:
    """A driver's device with a backend behind it; what the backend says waits for deliver()."""

    def __init__(self, cpu: DirectCpu, backend: Backend) -> None:
        """Behind its power-on; what came before is in its state."""
        self.cpu = cpu
        self.model = cpu.model
        self.tape: list[Told] = []
        self._first = encode(self.model.state)
        self._link = _PresentLink()
        self.gate = LiveGate(cast("Link", self._link), backend)
        cpu.model = cast("DeviceModel", _Recorded(self.model, self.gate, self.tape))
        self.gate.open()
        self.gate.handled(self.room)
        self.deliver()

    @property
    def room(self) -> int:
        """What the backend may be read for."""
        return self.gate.room(self.model.input_room())

    def deliver(self) -> None:
        """A sync point: what the backend has said reaches the model, each input a message of its own."""
        while self._link.inputs:
            message = self._link.inputs.popleft()
            self.gate.delivered(message)
            self.cpu.host_input(message.event, message.data)

    def serve(self, timeout_ms: int = 0) -> bool:
        """Wait for the host once and deliver what it said; whether anything was ready."""
        found = serve_backend(self.gate.backend, self.room, timeout_ms)
        self.gate.served()
        self.deliver()
        return found

    def settle(self) -> None:
        """Serve until the host has nothing more to say."""
        while self.serve():
            pass

    def until(self, done: Callable[[], bool]) -> None:
        """Serve until `done`; AssertionError when nothing more happens."""
        self.deliver()
        while not done():
            assert self.serve(PATIENCE_MS), "nothing happens"

    def heard(self) -> list[tuple[HostEvent, bytes]]:
        """What the backend has said to the model so far."""
        return [told.arguments for told in self.tape if told.name == "host_input"]

    def change(self, word: str, make: Callable[[str], Backend]) -> None:
        """Another backend, as chardev-change has it; BackendError."""
        self.gate.change(word, make)
        self.deliver()

    def close(self) -> None:
        """Close the backend."""
        self.gate.close()

    def replay(self, fresh: DeviceModel, listener: Backend) -> ReplayGate:
        """The same with a new model that is told the same, another backend listening; AssertionError if it differs."""
        past = _Past()
        past.gate = gate = ReplayGate(cast("Link", past), listener)
        gate.open()
        fresh.state = decode(type(self.model.state), self._first)
        for told in self.tape:
            past.asked = iter(told.asked)
            assert getattr(fresh, told.name)(*told.arguments, past) == told.answer
            assert (left := next(past.asked, None)) is None, f"a replay does not ask for {left}"
            serve_backend(listener, gate.room(0), 0)
            gate.served()
        assert encode(fresh.state) == encode(self.model.state)
        gate.close()
        return gate
