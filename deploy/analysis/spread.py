"""Spreads tasks over processes of this host, or over a Dask cluster; answers come back in the order of the tasks.

Lives here: who works.  Never here: what the work is.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from deploy.analysis.work import work
from machine.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.analysis.crew import Crew
    from deploy.analysis.work import Task

    Spread = Callable[[Sequence[Task]], list[dict[str, Any]]]
    """Has tasks done; their answers, in order."""

CONNECT_S: Final = 10


def here(jobs: int, crew: Crew) -> Spread:
    """So many processes at a time on this host."""

    def spread(tasks: Sequence[Task]) -> list[dict[str, Any]]:
        # A thread each, that waits for its process.
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(crew.work, tasks))

    return spread


def on_cluster(address: str) -> Spread:
    """On the workers of a Dask scheduler, `tcp://HOST:PORT`; UsageError if it is not there or has none."""

    def spread(tasks: Sequence[Task]) -> list[dict[str, Any]]:
        with _connect(address) as client:
            futures = client.map(work, tasks, pure=False)
            try:
                answers: list[dict[str, Any]] = client.gather(futures)
            except MachineError:
                raise
            except Exception as error:
                raise MachineError(f"--scheduler {address}: a worker failed: {error}") from error
            return answers

    return spread


def workers_of(address: str) -> int:
    """How many processes a cluster runs at a time; UsageError if it is not there or has no workers."""
    with _connect(address) as client:
        return sum(int(threads) for threads in client.nthreads().values())


def _connect(address: str) -> Any:  # noqa: ANN401  # Dask has no types
    try:
        from distributed import Client  # noqa: PLC0415  # an optional dependency
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: pip install 'dejavm[dask]'") from error
    try:
        client: Any = Client(address, timeout=CONNECT_S)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"--scheduler {address}: no Dask scheduler there: {error}") from error
    if not client.nthreads():
        client.close()
        raise UsageError(f"--scheduler {address}: it has no workers; start some with: dask worker {address}")
    return client


def own_jobs() -> int:
    """As many as this host has processors for us."""
    return len(os.sched_getaffinity(0))
