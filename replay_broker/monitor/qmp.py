"""QEMU's Machine Protocol with one client (QEMU, docs/interop/qmp-spec).

Lives here: negotiation, requests and their answers in order, events.
Never here: sockets; what a command does.
"""

from __future__ import annotations

import json
from math import isinf
from typing import TYPE_CHECKING, Any, Final

from replay_broker.monitor.answer import NOT_FOUND, Answer, CommandError
from replay_broker.monitor.control import version
from replay_broker.monitor.documents import Documents, Forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from replay_broker.monitor.machine import Machine

MEMBERS: Final = ("execute", "arguments", "id", "control")
NEGOTIATE: Final = "qmp_capabilities"


class QmpSpeaker:
    """One client's side of the protocol; `say` takes the bytes that go to it."""

    def __init__(self, machine: Machine, say: Callable[[bytes], None]) -> None:
        self._machine = machine
        self._send = say
        self._documents = Documents()
        self._negotiated = False
        self.waiting = False
        """A command's answer is still to come; the next is not looked at before."""
        self._say({"QMP": {"version": version(), "capabilities": []}})

    def feed(self, data: bytes) -> None:
        """Something has come."""
        self._documents.feed(data)

    def step(self) -> bool:
        """Do the next request, if a whole one is there; whether it was.  Overlong if it will not end."""
        if self.waiting:
            return False
        document = self._documents.next()
        if document is None:
            return False
        if isinstance(document, Forgotten):
            if document.lost:
                self._refuse(CommandError("JSON parse error, forgotten at a reset"), None)
        else:
            self._request(document)
        return True

    def finish(self) -> None:
        """Nothing more comes; what is left over is no request."""
        if self._documents.finish() is not None:
            self._refuse(CommandError("JSON parse error, premature EOI"), None)

    def complain(self, text: str) -> None:
        """Say why the client is shown the door."""
        self._refuse(CommandError(text), None)

    def event(self, name: str, data: Mapping[str, object], time_ns: int) -> None:
        """Something has happened to the machine; a client that has not negotiated yet hears nothing."""
        if not self._negotiated:
            return
        seconds, rest_ns = divmod(time_ns, 1_000_000_000)
        event: dict[str, object] = {"event": name, "timestamp": {"seconds": seconds, "microseconds": rest_ns // 1000}}
        if data:
            event["data"] = data
        self._say(event)

    def _request(self, document: bytes) -> None:
        request: dict[str, Any] = {}
        try:
            request = _parse(document)
            answer = self._execute(request)
        except CommandError as error:
            self._refuse(error, request)
            return
        self.waiting = True
        answer.then(lambda answer: self._answered(answer, request))

    def _execute(self, request: Mapping[str, Any]) -> Answer:
        name, arguments = _check(request)
        if not self._negotiated:
            if name != NEGOTIATE:
                raise CommandError(f"Expecting capabilities negotiation with '{NEGOTIATE}'", NOT_FOUND)
            self._negotiate(arguments)
            return Answer.of({})
        return self._machine.execute(name, arguments)

    def _negotiate(self, arguments: Mapping[str, Any]) -> None:
        wanted = arguments.get("enable", [])
        if set(arguments) - {"enable"} or not isinstance(wanted, list):
            raise CommandError("Parameter 'enable' is expected, an array of capabilities")
        if wanted:
            raise CommandError(f"Capability '{wanted[0]}' not available")
        self._negotiated = True

    def _answered(self, answer: Answer, request: Mapping[str, Any]) -> None:
        self.waiting = False
        try:
            self._say({"return": answer.value(), **_echo(request)})
        except CommandError as error:
            self._refuse(error, request)

    def _refuse(self, error: CommandError, request: Mapping[str, Any] | None) -> None:
        self._say({"error": {"class": error.kind, "desc": str(error)}, **_echo(request or {})})

    def _say(self, document: Mapping[str, object]) -> None:
        self._send(json.dumps(document).encode() + b"\r\n")


def _echo(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": request["id"]} if "id" in request else {}


def _parse(document: bytes) -> dict[str, Any]:
    """A request as an object; CommandError says what is wrong with the bytes."""
    try:
        value = json.loads(
            document.decode(), parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_unique
        )
        # Text that is none: JSON may spell half a surrogate pair, and no message can carry one.
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise CommandError(f"JSON parse error, {error.reason}") from error
    except json.JSONDecodeError as error:
        raise CommandError(f"JSON parse error, {error.msg} at byte {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"JSON parse error, {error}") from error
    if not isinstance(value, dict):
        raise CommandError("QMP input must be a JSON object")
    return value


def _check(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A request's command and arguments; CommandError if it is none."""
    for member in request:
        if member not in MEMBERS:
            raise CommandError(f"QMP input member '{member}' is unexpected")
    if "execute" not in request:
        raise CommandError("QMP input lacks member 'execute'")
    name, arguments = request["execute"], request.get("arguments", {})
    if not isinstance(name, str):
        raise CommandError("QMP input member 'execute' must be a string")
    if not isinstance(arguments, dict):
        raise CommandError("QMP input member 'arguments' must be an object")
    return name, arguments


def _finite(text: str) -> float:
    """Python would make it infinite, and say so, which is no JSON."""
    value = float(text)
    if isinf(value):
        raise ValueError(f"number '{text}' is too large")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"invalid keyword '{name}'")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value
