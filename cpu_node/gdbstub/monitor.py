"""gdb's `monitor` commands: those of every machine here, those of a recording in its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node.gdbstub.target import TargetError

if TYPE_CHECKING:
    from cpu_node.debugger import Stop
    from cpu_node.gdbstub.addresses import Addresses
    from cpu_node.gdbstub.target import Target


class Monitor:
    """Lines in, text out."""

    def __init__(self, target: Target, addresses: Addresses) -> None:
        self._target = target
        self._addresses = addresses

    def run(self, line: str, stop: Stop) -> tuple[str, Stop]:
        """What a line prints, and where the machine stands behind it."""
        words = line.split()
        try:
            return self._run(words, stop)
        except (TargetError, ValueError) as error:
            return f"{error}\n", stop

    def _run(self, words: list[str], stop: Stop) -> tuple[str, Stop]:
        match words:
            case [] | ["help"]:
                return self._help(), stop
            case ["phys"]:
                return f"addresses are {'physical' if self._addresses.physical else 'virtual'}\n", stop
            case ["phys", ("on" | "off") as switch]:
                self._addresses.physical = switch == "on"
                return "", stop
            case _:
                answer = self._target.command(words, stop)
        if answer is None:
            raise TargetError(f"no such command: {' '.join(words)} (`monitor help` lists them)")
        return answer.text, answer.stop or stop

    def _help(self) -> str:
        rows = {
            "help": "this list",
            "phys on|off": "addresses are physical, or the program's",
            **self._target.help(),
        }
        return "".join(f"{name:<20} {text}\n" for name, text in rows.items())
