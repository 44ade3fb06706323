"""OpenTelemetry's SDK, with exporters that keep what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Told:
    """What a program has told OpenTelemetry.

    Attributes:
        tracers: To be given to `instrument`, as all below.
        meters: As above.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def all_spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def spans(self) -> dict[str, ReadableSpan]:
        """Those that have ended, by their names."""
        return {span.name: span for span in self.all_spans()}

    def names(self) -> list[str]:
        """Those of the spans that have ended, in the order of their ends."""
        return [span.name for span in self.all_spans()]

    def points(self, metric: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """A metric's data points by their attributes: their sums, or, of histograms, their counts."""
        found = {}
        for one in self._metrics():
            if one.name == metric:
                for point in one.data.data_points:
                    value = getattr(point, "value", None)
                    found[frozenset((point.attributes or {}).items())] = point.count if value is None else value
        return found

    def value(self, metric: str, **attributes: Any) -> Any:
        """That of the one data point that has these attributes, `__` for `.`, and perhaps others."""
        wanted = {(name.replace("__", "."), value) for name, value in attributes.items()}
        [value] = [value for key, value in self.points(metric).items() if wanted <= key]
        return value

    def units(self) -> Mapping[str, str]:
        """The units of all that were recorded, by their names."""
        return {one.name: one.unit for one in self._metrics()}

    def bounds(self, metric: str) -> list[float]:
        """Of a histogram's buckets."""
        return next(list(one.data.data_points[0].explicit_bounds) for one in self._metrics() if one.name == metric)

    def _metrics(self) -> list[Any]:
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data else ()
        return [one for resource in resources for scope in resource.scope_metrics for one in scope.metrics]
