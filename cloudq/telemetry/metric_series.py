"""`MetricSeries`: makes metrics of prometheus-client whose series are found without the metric's own lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MetricT = TypeVar("MetricT", bound="Labelled")


class Labelled(Protocol):
    """A metric of prometheus-client that has labels."""

    def labels(self, *values: Any) -> Any:
        """The one series with these values."""
        ...


class Series(dict[tuple[str, ...], MetricT], Generic[MetricT]):
    """The series of one metric by the values of its labels; one that isn't there begins, with 0."""

    def __init__(self, metric: MetricT) -> None:
        self._metric = metric

    def __missing__(self, values: tuple[str, ...]) -> MetricT:
        series: MetricT = self._metric.labels(*values)
        self[values] = series
        return series


class MetricSeries:
    """Makes the metrics of one registry, each with a name, a text for people, and the names of its labels.

    Args:
        registry: Where they are collected.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *, labels: Sequence[str]) -> Series[Counter]:
        """What only grows."""
        return Series(Counter(name, text, labels, registry=self._registry))

    def gauge(self, name: str, text: str, *, labels: Sequence[str]) -> Series[Gauge]:
        """What goes up and down."""
        return Series(Gauge(name, text, labels, registry=self._registry))

    def histogram(self, name: str, text: str, *, labels: Sequence[str], buckets: Sequence[float]) -> Series[Histogram]:
        """How many are up to each of the buckets' bounds."""
        return Series(Histogram(name, text, labels, buckets=buckets, registry=self._registry))
