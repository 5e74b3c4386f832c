"""The processes of a machine that runs as a service, and what each is told beside what any run's are; pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.plan import BROKER, Places, plan_processes
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


def plan_service(launch: Launch, options: ServiceOptions) -> tuple[ProcessPlan, ...]:
    """The processes, the broker first; their places are supervisor's %(here)s."""
    plans = plan_processes(launch, Places(Path(HERE)), options.python)
    return tuple(replace(plan, argv=(*plan.argv, *_extra(plan.name, i, options))) for i, plan in enumerate(plans))


def _extra(name: str, index: int, options: ServiceOptions) -> list[str]:
    words = []
    if name == BROKER:
        words += ["--supervised", "--hello-timeout", f"{options.wait_s:g}"]
    if options.metrics is not None:
        words += ["--metrics", str(options.metrics + index if options.metrics else 0)]
    return words
