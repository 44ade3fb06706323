"""Metrics whose series are found by the values of their labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from cloudq.telemetry.metric_series import MetricSeries


def test_each_kind_is_collected_by_its_registry() -> None:
    """With the labels in their order, the buckets that were given, and 0 for a series that was only looked up."""
    registry = CollectorRegistry()
    make = MetricSeries(registry)
    sent = make.counter("sent_total", "Sent.", labels=["queue", "task"])
    sent["q", "t"].inc(2)
    make.gauge("held", "Held.", labels=["queue"])["q",].set(1)
    make.histogram("age", "Age.", labels=["queue"], buckets=(1, 5))["q",].observe(3)
    assert sent["other", "t"] is sent["other", "t"]
    value = registry.get_sample_value
    assert (2, 0) == (
        value("sent_total", {"queue": "q", "task": "t"}),
        value("sent_total", {"queue": "other", "task": "t"}),
    )
    assert 1 == value("held", {"queue": "q"})
    assert [0, 1, 1] == [value("age_bucket", {"queue": "q", "le": bound}) for bound in ("1.0", "5.0", "+Inf")]
