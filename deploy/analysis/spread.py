"""Has tasks worked on by a Dask cluster, as a crew does on this host; and how many can work here and there.

Lives here: who works.  Never here: what the work is.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from deploy.analysis.crew import settled
from deploy.analysis.work import work
from machine.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deploy.analysis.crew import Answers
    from deploy.analysis.work import Task

CONNECT_S: Final = 10


@contextmanager
def on_cluster(address: str, tasks: Sequence[Task]) -> Iterator[Answers]:
    """On the workers of a Dask scheduler, `tcp://HOST:PORT`; UsageError if it is not there or has none."""
    # Each of the cluster's threads works on one, and takes the next.
    with _connect(address) as client:
        futures = client.map(work, tasks, pure=False)
        yield lambda: _gathered(client, futures, address)


def _gathered(client: Any, futures: Any, address: str) -> list[dict[str, Any]]:  # noqa: ANN401  # Dask has no types
    try:
        answers: list[dict[str, Any]] = client.gather(futures)
    except MachineError:
        raise
    except Exception as error:
        raise MachineError(f"--scheduler {address}: a worker failed: {error}") from error
    return settled(dict(enumerate(answers))) or answers


def workers_of(address: str) -> int:
    """How many processes a cluster runs at a time; UsageError if it is not there or has no workers."""
    with _connect(address) as client:
        return sum(int(threads) for threads in client.nthreads().values())


def _connect(address: str) -> Any:  # noqa: ANN401  # as above
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
