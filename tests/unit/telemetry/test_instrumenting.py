"""`instrument`: what it turns on, and what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloudq import App
from cloudq.errors import ConfigurationError
from cloudq.telemetry import instrument
from cloudq.telemetry.conventions import CONSUMED, ENDED, IN_FLIGHT, SENT
from cloudq.testing import in_memory, run_all
from tests.unit.telemetry.telling import Told


def shop(told: Told, **options: bool) -> App:
    app = App("memory://")
    instrument(app, tracer_provider=told.tracers, meter_provider=told.meters, **options)
    app.task("shop.paid")(lambda: None)
    return app


def used(app: App) -> None:
    with in_memory(app):
        app.send("shop.paid")
        run_all(app)


def test_sends_and_runs_are_spans_and_metrics() -> None:
    """Of one app: the same names in both."""
    told = Told()
    used(shop(told))
    assert ["send default", "process default"] == told.names()
    assert 1 == told.value(SENT, messaging__system="memory", messaging__destination__name="default")
    assert 1 == told.value(CONSUMED)
    assert 1 == told.value(ENDED, cloudq__task="shop.paid", cloudq__outcome="succeeded")
    assert 0 == told.value(IN_FLIGHT)


def test_spans_alone() -> None:
    """Where something else measures."""
    told = Told()
    used(shop(told, metrics=False))
    assert ["send default", "process default"] == told.names()
    assert {} == told.units()


def test_metrics_alone() -> None:
    """Where nobody traces: nothing travels."""
    told = Told()
    used(shop(told, spans=False))
    assert [] == told.names()
    assert 1 == told.value(SENT)


def test_what_is_counted_already_is_refused() -> None:
    """It would be counted twice. What the first call left out may follow."""
    told = Told()
    app = shop(told, metrics=False)
    with pytest.raises(ConfigurationError, match="has spans already"):
        instrument(app)
    instrument(app, spans=False, meter_provider=told.meters)
    with pytest.raises(ConfigurationError, match="has metrics already"):
        instrument(app, spans=False)
    used(app)
    assert 1 == told.value(SENT)


def test_what_is_no_app_is_refused() -> None:
    """By what it is."""
    with pytest.raises(ConfigurationError, match="an App, not 'shop'"):
        instrument("shop")  # type: ignore[arg-type]


def test_aliases_of_tasks_are_known_names() -> None:
    """Messages that were sent before a task was renamed are still counted by their name."""
    told = Told()
    app = App("memory://")
    instrument(app, tracer_provider=told.tracers, meter_provider=told.meters)
    app.task("shop.paid", aliases=["shop.was_paid"])(lambda: None)
    with in_memory(app):
        app.send("shop.was_paid")
        run_all(app)
    assert 1 == told.value(ENDED, cloudq__outcome="succeeded")


def test_an_app_that_is_open_already_can_be_instrumented() -> None:
    """In a test, say."""
    told = Told()
    app = App("memory://")
    app.task("shop.paid")(lambda: None)
    with in_memory(app):
        app.send("shop.paid")
        instrument(app, tracer_provider=told.tracers, meter_provider=told.meters)
        app.send("shop.paid")
        assert 1 == told.value(SENT, messaging__system="memory")


def test_a_provider_may_be_set_later() -> None:
    """As where a server's workers are set up after the application was imported."""
    program = """if True:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        import cloudq
        from cloudq.telemetry import instrument

        instrument()
        cloudq.configure("memory://")
        cloudq.task("shop.paid")(lambda: None)
        exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([reader]))
        cloudq.send("shop.paid")
        data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
        print(*(span.name for span in exporter.get_finished_spans()), *(one.name for one in data.metrics))
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "send default messaging.client.sent.messages" == ran.stdout.strip()


def test_it_says_what_is_missing() -> None:
    """And how to have it."""
    program = """if True:
        import sys
        sys.modules["opentelemetry"] = None
        from cloudq.errors import ConfigurationError
        try:
            from cloudq.telemetry import instrument
        except ConfigurationError as error:
            print(error.message, "|", error.hint)
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (
        "telemetry needs OpenTelemetry's API, which isn't installed | pip install 'cloudq[otel]'" == ran.stdout.strip()
    )


@pytest.mark.parametrize("module", ["cloudq.telemetry", "cloudq.app.app", "cloudq.worker.service"])
def test_nothing_of_it_is_loaded_where_it_isnt_used(module: str) -> None:
    """By a program, or a worker, that doesn't ask for it."""
    program = f"import sys, {module}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "[]" == ran.stdout.strip()
