"""The line mode's commands, QEMU's names for people: what they print and which QMP command is behind them.

Lives here: lines in, text out.  Never here: prompts and editing (hmp.py).
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final, cast

from machine.message import RunMode
from replay_broker.monitor.answer import Answer, CommandError
from replay_broker.monitor.events import key_by_name
from replay_broker.monitor.input import HOLD_MS, hold_buttons, move, press
from replay_broker.monitor.line import NEWLINE, Line, number
from replay_broker.monitor.travel_lines import SNAPSHOTS, TRAVEL_LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from replay_broker.monitor.machine import Machine

MOST_BITS: Final = 7


def run_line(machine: Machine, line: str) -> Answer:
    """Do one line; the answer's value is the text to show.  Nothing is refused: errors are text too."""
    answer = Answer()
    try:
        words = shlex.split(line)
    except ValueError as error:
        return Answer.of(f"Error: {error}{NEWLINE}")
    try:
        value = _run(machine, words) if words else ""
    except CommandError as error:
        return Answer.of(f"Error: {error}{NEWLINE}")
    if isinstance(value, str):
        return Answer.of(value)

    def finish(inner: Answer) -> None:
        try:
            answer.give(inner.value())
        except CommandError as error:
            answer.give(f"Error: {error}{NEWLINE}")

    value.then(finish)
    return answer


def _run(machine: Machine, words: Sequence[str]) -> str | Answer:
    name, rest = words[0], words[1:]
    table = LINES
    if name == "info" and rest:
        name, rest, table = rest[0], rest[1:], INFO
    line = table.get(ABBREVIATIONS.get(name, name) if table is LINES else name)
    if line is None:
        return f"unknown command: '{' '.join(words[: 1 + (table is INFO)])}'{NEWLINE}"
    least, most = line.words
    if not least <= len(rest) <= most:
        raise CommandError(f"write: {line.form}")
    if line.guest_visible:
        machine.refuse_in_replay(name)
    return line.run(machine, rest)


def _silent(name: str) -> Callable[[Machine, Sequence[str]], Answer]:
    """A line that does a QMP command without arguments and prints nothing."""
    return lambda machine, _: machine.execute(name, {}).mapped(lambda _: "")


def _form(name: str, text: Callable[[Any], str]) -> Callable[[Machine, Sequence[str]], Answer]:
    """A line that prints what a QMP command tells."""
    return lambda machine, _: machine.execute(name, {}).mapped(text)


def _help(_machine: Machine, words: Sequence[str]) -> str:
    rows = {**LINES, **{f"info {name}": line for name, line in INFO.items()}}
    if words:
        wanted = " ".join(words)
        rows = {name: line for name, line in rows.items() if name == wanted or name.startswith(f"{wanted} ")}
    return "".join(f"{line.form} -- {line.summary}{NEWLINE}" for line in rows.values())


def _info(_machine: Machine, _: Sequence[str]) -> str:
    return "".join(f"{line.form} -- {line.summary}{NEWLINE}" for line in INFO.values())


def _sendkey(machine: Machine, words: Sequence[str]) -> str:
    # A minus stands between keys, and is a key's name nowhere.
    codes = [key_by_name(name) for name in words[0].split("-")]
    press(machine, codes, number(words[1]) if len(words) > 1 else HOLD_MS)
    return ""


def _mouse_move(machine: Machine, words: Sequence[str]) -> str:
    move(machine, *map(number, words))
    return ""


def _mouse_button(machine: Machine, words: Sequence[str]) -> str:
    bits = number(words[0])
    if not 0 <= bits <= MOST_BITS:
        raise CommandError(f"the buttons are 0 to {MOST_BITS}: 1 left, 2 middle, 4 right")
    hold_buttons(machine, bits)
    return ""


def _change(machine: Machine, words: Sequence[str]) -> Answer:
    return machine.execute("chardev-change", {"id": words[0], "backend": words[1]}).mapped(lambda _: "")


def _ring_read(machine: Machine, words: Sequence[str]) -> Answer:
    given = {"device": words[0], "size": number(words[1])}
    return machine.execute("ringbuf-read", given).mapped(lambda text: f"{_printable(cast('str', text))}{NEWLINE}")


def _printable(text: str) -> str:
    """Text for a terminal: what is neither printable nor a line's end as \\uXXXX, as QEMU shows it."""
    shown = text.replace("\\", "\\\\")
    shown = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04X}", shown.replace("\r\n", "\n"))
    return shown.replace("\n", NEWLINE)


def _status_text(status: Any) -> str:  # noqa: ANN401  # JSON
    more = "" if status["status"] in ("running", "paused") else f" ({status['status']})"
    return f"VM status: {'running' if status['running'] else 'paused'}{more}{NEWLINE}"


def _info_replay(machine: Machine, _: Sequence[str]) -> str:
    if machine.host.mode is RunMode.NONE:
        return f"Record/replay is not active{NEWLINE}"
    doing = "Recording" if machine.host.mode is RunMode.RECORD else "Replaying"
    return f"{doing} execution '{machine.recording}': instruction count = {machine.icount}{NEWLINE}"


def _chardev_text(rows: Any) -> str:  # noqa: ANN401  # JSON
    return "".join(f"{row['label']}: filename={row['filename']}{NEWLINE}" for row in rows)


def version_text(value: Any) -> str:  # noqa: ANN401  # JSON
    """QMP's VersionInfo in a line."""
    numbers = value["qemu"]
    return f"{value['package']} {numbers['major']}.{numbers['minor']}.{numbers['micro']}{NEWLINE}"


def _info_qtree(machine: Machine, _: Sequence[str]) -> str:
    """The machine's parts; there is one bus."""
    out = [f"bus: main{NEWLINE}", f"  cpu: {machine.board.cpu}, memory {machine.board.memory >> 20} MiB{NEWLINE}"]
    for slot in machine.board.devices:
        out.append(f'  dev: {slot.kind}, id "{slot.name}"{NEWLINE}')
        out.append(f"    mmio {slot.address:016x}/{slot.size:016x}, irq {slot.irq}{NEWLINE}")
        out += [f"    {key} = {json.dumps(value)}{NEWLINE}" for key, value in slot.options]
        if machine.words[slot.name]:
            out.append(f"    backend = {machine.words[slot.name]}{NEWLINE}")
    return "".join(out)


LINES: Final[Mapping[str, Line]] = {
    "help": Line("help|? [cmd]", "show the help", _help, (0, 3)),
    "info": Line("info [subcommand]", "show various information about the machine", _info),
    "stop": Line("stop|s", "stop emulation", _silent("stop")),
    "cont": Line("cont|c", "resume emulation", _silent("cont")),
    "quit": Line("quit|q", "end the run", _silent("quit")),
    "sendkey": Line(
        "sendkey keys [hold_ms]",
        f"send keys to the guest (e.g. 'sendkey ctrl-alt-f1', default hold time={HOLD_MS} ms)",
        _sendkey,
        (1, 2),
        guest_visible=True,
    ),
    "mouse_move": Line("mouse_move dx dy [dz]", "send mouse move events", _mouse_move, (2, 3), guest_visible=True),
    "mouse_button": Line(
        "mouse_button state", "change mouse button state (1=L, 2=M, 4=R)", _mouse_button, (1, 1), guest_visible=True
    ),
    "chardev-change": Line(
        "chardev-change id word", "put another backend behind a device, in the words of --serial", _change, (2, 2)
    ),
    "ringbuf_read": Line("ringbuf_read device size", "read from a ring buffer", _ring_read, (2, 2)),
    **TRAVEL_LINES,
    "system_powerdown": Line("system_powerdown", "press the power button", _silent("system_powerdown")),
    "system_reset": Line("system_reset", "reset the machine", _silent("system_reset")),
}
"""Name -> command."""

INFO: Final[Mapping[str, Line]] = {
    "status": Line("info status", "show whether the guest runs", _form("query-status", _status_text)),
    "replay": Line("info replay", "show what is recorded or replayed, and where it stands", _info_replay),
    "snapshots": SNAPSHOTS,
    "chardev": Line("info chardev", "show the character devices' backends", _form("query-chardev", _chardev_text)),
    "qtree": Line("info qtree", "show the machine's devices", _info_qtree),
    "name": Line("info name", "show the board's name", _form("query-name", lambda value: f"{value['name']}{NEWLINE}")),
    "version": Line("info version", "show the version", _form("query-version", version_text)),
}
"""What `info` shows."""

ABBREVIATIONS: Final[Mapping[str, str]] = {"?": "help", "s": "stop", "c": "cont", "q": "quit"}
