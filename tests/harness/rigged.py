"""The dejavm command with its processes rigged: delays between them, arguments of their own, their memory measured."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import deploy.launch
from deploy import cli
from deploy.commands import record, replay, run, verify
from deploy.launch import launch
from deploy.plan import BROKER, ProcessPlan, plan_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.outcome import Outcome
    from deploy.plan import Launch, Places

_PYTHON: Final = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Rig:
    """What is done to the processes of one run.

    `longest_ms` puts a proxy with delays of 0 to so many milliseconds in front of every node; `extra` adds
    arguments by process name, `prefix` a command that runs the process; `measure` is a directory where each
    process's peak memory is written.
    """

    longest_ms: int = 0
    seed: int = 1
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)
    prefix: dict[str, tuple[str, ...]] = field(default_factory=dict)
    measure: str = ""

    def text(self) -> str:
        """The rig as one argument of this module."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Rig:
        """The rig that text() has written."""
        values = json.loads(text)
        for key in ("extra", "prefix"):
            values[key] = {name: tuple(words) for name, words in values[key].items()}
        return cls(**values)

    def plan(self, launched: Launch, places: Places) -> tuple[ProcessPlan, ...]:
        """The processes of a run, rigged."""
        plans = plan_processes(launched, places)
        rigged = list(self._proxies(plans, places)) if self.longest_ms else []
        for process in plans:
            argv = (*self.prefix.get(process.name, ()), *process.argv, *self.extra.get(process.name, ()))
            if self.longest_ms and process.name != BROKER:
                argv = tuple(_front(places, process.name) if word == places.bus else word for word in argv)
            if self.measure:
                argv = (*_PYTHON, "tests.harness.measured", f"{self.measure}/{process.name}", *argv)
            rigged.append(replace(process, argv=argv))
        return tuple(rigged)

    def _proxies(self, plans: tuple[ProcessPlan, ...], places: Places) -> Iterator[ProcessPlan]:
        for number, process in enumerate(plans):
            if process.name != BROKER:
                ends = ("--front", _front(places, process.name), "--back", places.bus)
                chance = ("--longest-ms", str(self.longest_ms), "--seed", str(1000 * self.seed + number))
                yield ProcessPlan(f"chaos-{process.name}", (*_PYTHON, "tests.harness.chaos", *ends, *chance))


def _front(places: Places, name: str) -> str:
    return f"{places.bus}-{name}"


def main(argv: list[str]) -> int:
    """`rigged RIG COMMAND ...`: `dejavm COMMAND ...`, rigged; AssertionError if it has run without the rig."""
    rig, rigged = Rig.parse(argv[0]), 0

    def rigged_launch(launched: Launch, **more: Any) -> Outcome:
        nonlocal rigged
        rigged += 1
        return launch(launched, rig.plan, **more)

    # Some commands import it when they need it.
    for module in (deploy.launch, record, replay, run, verify):
        vars(module)["launch"] = rigged_launch
    code = cli.main(argv[1:])
    assert rigged or code, f"dejavm {argv[1]} has started processes in another way, or none"
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
