"""Commands about the host's side of devices: which backends there are, another one, what a ring buffer holds."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from machine.errors import MachineError
from machine.message import RunMode
from machine.ringbuf import RingReader, ring_path
from replay_broker.monitor.answer import Answer, CommandError
from replay_broker.monitor.arguments import ANY, Argument, Members, choice
from replay_broker.monitor.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replay_broker.monitor.machine import Machine

CHARACTER_KINDS: Final = ("serial",)
"""Devices whose backend is what QEMU calls a chardev."""
NO_BACKEND: Final = ("rtc", "rng")
"""Devices whose word is no backend's."""
RING_FORMATS: Final = ("utf8", "base64")
MOST_READ: Final = 1 << 20


def list_chardevs(machine: Machine) -> list[dict[str, object]]:
    """QMP's ChardevInfo of every character device."""
    return [
        {"label": slot.name, "filename": machine.words[slot.name] or "null", "frontend-open": True}
        for slot in machine.board.devices
        if slot.kind in CHARACTER_KINDS
    ]


def _change(machine: Machine, given: Mapping[str, Any]) -> Answer:
    """QMP's chardev-change; `backend` is a ChardevBackend, or a word as in --serial, --nic, --input, --usb."""
    backend = given["backend"]
    word = backend if isinstance(backend, str) else backend_word(Members(backend, "backend"))
    return change(machine, given["id"], word)


def change(machine: Machine, name: str, word: str) -> Answer:
    """Put another backend behind a device; CommandError if there is no such device or it has no backend."""
    slot = next((slot for slot in machine.board.devices if slot.name == name), None)
    if slot is None:
        raise CommandError(f"Chardev '{name}' does not exist")
    if slot.kind in NO_BACKEND:
        raise CommandError(f"{name} has no backend that could be changed")
    if machine.host.mode is RunMode.REPLAY_LOG:
        raise CommandError(f"{name}: this replay runs without devices; replay with --devices live")
    return machine.change_backend(name, word)


def _ring_read(machine: Machine, given: Mapping[str, Any]) -> str:
    """QMP's ringbuf-read."""
    form = choice(given.get("format", "utf8"), RING_FORMATS, "format")
    data = read_ring(machine, given["device"], given["size"])
    if form == "base64":
        return base64.b64encode(data).decode()
    return data.decode("utf-8", errors="replace")


def read_ring(machine: Machine, name: str, size: int) -> bytes:
    """Up to `size` bytes of a ring buffer's oldest, which are gone from it then; CommandError."""
    if name not in machine.words:
        raise CommandError(f"Device '{name}' not found")
    if machine.words[name].partition(":")[0] != "ringbuf" or machine.directory is None:
        raise CommandError(f"{name} is not a ringbuf device")
    if size <= 0:
        raise CommandError("size must be greater than zero")
    try:
        ring = RingReader(ring_path(machine.directory, name))
    except MachineError as error:
        raise CommandError(str(error)) from error
    try:
        return ring.read(min(size, MOST_READ))
    finally:
        ring.close()


# QMP's ChardevBackend as a word.


def backend_word(backend: Members) -> str:
    """The word that means a ChardevBackend of QMP; CommandError if this machine has no such backend."""
    kind = backend.one_of("type", _BACKENDS)
    data = backend.members("data")
    # What QEMU's common options would do: logging is the recording's business.
    word = _BACKENDS[kind](data)
    data.finish()
    backend.finish()
    return word


def _file(data: Members) -> str:
    return f"file:{data.string('out')}"


def _socket(data: Members) -> str:
    address = data.members("addr")
    server, wait = data.boolean("server", default=True), data.boolean("wait", default=False)
    telnet = data.boolean("telnet", default=False)
    data.boolean("nodelay", default=True)
    kind = address.one_of("type", ("unix", "inet"))
    place = address.members("data")
    options = (",server=on" if server else "") + ("" if wait or not server else ",wait=off")
    if kind == "unix":
        word = f"unix:{_escaped(place.string('path'))}{options}"
    else:
        word = f"tcp:{_place(place)}{options}" + (",telnet=on" if telnet else "")
    place.finish()
    address.finish()
    return word


def _udp(data: Members) -> str:
    remote = _inet(data.members("remote"))
    return f"udp:{remote}@{_inet(data.members('local'))}" if data.has("local") else f"udp:{remote}"


def _inet(address: Members) -> str:
    address.one_of("type", ("inet",))
    place = address.members("data")
    word = _place(place)
    place.finish()
    address.finish()
    return word


def _place(place: Members) -> str:
    host, port = place.string("host"), place.string("port")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _serial(data: Members) -> str:
    return f"tty:{data.string('device')}"


def _pipe(data: Members) -> str:
    return f"pipe:{data.string('device')}"


def _ringbuf(data: Members) -> str:
    return f"ringbuf:size={data.integer('size')}" if data.has("size") else "ringbuf"


def _escaped(text: str) -> str:
    """A text with its commas doubled, as words have them."""
    return text.replace(",", ",,")


_BACKENDS: Final[Mapping[str, Callable[[Members], str]]] = {
    "null": lambda _: "null",
    "pty": lambda _: "pty",
    "stdio": lambda _: "stdio",
    "file": _file,
    "socket": _socket,
    "udp": _udp,
    "serial": _serial,
    "pipe": _pipe,
    "ringbuf": _ringbuf,
    "memory": _ringbuf,
}
"""QMP's ChardevBackendKind -> the word, of those that this machine has."""

CHARDEVS: Final[Mapping[str, Command]] = {
    "query-chardev": Command(lambda machine, _: list_chardevs(machine)),
    "chardev-change": Command(_change, {"id": Argument("string"), "backend": Argument(ANY)}, needs_run=True),
    "ringbuf-read": Command(
        _ring_read,
        {"device": Argument("string"), "size": Argument("integer"), "format": Argument("string", optional=True)},
        # Before its device is ready there is no buffer.
        needs_run=True,
    ),
}
