"""The processes of a machine that runs as a service, and what each is told beside what any run's are; pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.placement import HERE_ALONE, Placement
from deploy.plan import BROKER, CPU, Places, plan_processes
from deploy.supervision.configuration import HERE

if TYPE_CHECKING:
    from deploy.plan import Launch, ProcessPlan

START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a machine runs as a service.

    `wait_s` is how long the broker waits for the others.  `metrics` is the first process's port, the next one's is one
    higher; 0: any port for each; None: no metrics.
    """

    wait_s: float = START_S
    metrics: int | None = None
    python: str = sys.executable
    placement: Placement = HERE_ALONE
    host: str = ""
    """Which of the placement's hosts this is."""
    keys: Path | None = None


def plan_service(launch: Launch, options: ServiceOptions) -> tuple[ProcessPlan, ...]:
    """The processes of this host, the broker first; their places are supervisor's %(here)s."""
    plans = plan_processes(launch, Places(Path(HERE)), options.python)
    return tuple(
        replace(plan, argv=(*_reaching(plan.argv, options), *_extra(plan.name, i, options)))
        for i, plan in enumerate(plans)
        if options.placement.host_of(plan.name) == options.host
    )


def _reaching(argv: tuple[str, ...], options: ServiceOptions) -> tuple[str, ...]:
    """A node's command line with the broker where it is."""
    if options.placement.host_of(BROKER) == options.host:
        return argv
    bus = f"tcp://{options.placement.broker_bus}"
    return tuple(bus if before == "--broker" else word for before, word in zip(("", *argv), argv, strict=False))


def _extra(name: str, index: int, options: ServiceOptions) -> list[str]:
    placement, host, words = options.placement, options.host, []
    if name == BROKER:
        words += ["--supervised", "--hello-timeout", f"{options.wait_s:g}", "--ready-timeout", f"{options.wait_s:g}"]
        if placement.hosts:
            words += ["--remote", placement.broker_bus, "--keys", str(options.keys)]
    elif placement.hosts:
        words += ["--wait", f"{options.wait_s:g}"]
        if placement.host_of(BROKER) != host:
            words += ["--keys", str(options.keys)]
        if name != CPU and placement.host_of(CPU) != host:
            words.append("--remote-memory")
    if host:
        words += ["--host", host]
    if options.metrics is not None:
        words += ["--metrics", str(options.metrics + index if options.metrics else 0)]
    return words
