"""What a process counts, in Prometheus's text format (its exposition format, version 0.0.4).

Lives here: the readings; they are taken when somebody asks, never before.
Never here: sockets (machine/scrape.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

Values = Mapping[tuple[str, ...], float]
ONE: Final[tuple[str, ...]] = ()
"""The labels of a reading that has none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One family: its name without our prefix, what it is, whether it only grows, its labels."""

    name: str
    text: str
    grows: bool
    labels: tuple[str, ...]
    values: Callable[[], Values]


class Meter:
    """The readings of one process."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._readings: list[Reading] = []

    def counter(self, name: str, text: str, labels: tuple[str, ...], values: Callable[[], Values]) -> None:
        """A family that only grows."""
        self._readings.append(Reading(name, text, True, labels, values))

    def gauge(self, name: str, text: str, labels: tuple[str, ...], values: Callable[[], Values]) -> None:
        """A family that goes up and down."""
        self._readings.append(Reading(name, text, False, labels, values))

    def render(self) -> bytes:
        """Everything as it is now."""
        # Imported here: only those pay for it who were asked.
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        # What every process tells under the same names, ours or not: processor, memory, descriptors.
        ProcessCollector(registry=registry)
        return generate_latest(registry)

    def describe(self) -> list[Metric]:
        """prometheus_client's Collector: nothing is looked at before it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's Collector."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        for reading in self._readings:
            family = CounterMetricFamily if reading.grows else GaugeMetricFamily
            made = family(f"dejavm_{reading.name}", reading.text, labels=("node", *reading.labels))
            for labels, value in reading.values().items():
                made.add_metric((self._node, *labels), value)
            yield made
