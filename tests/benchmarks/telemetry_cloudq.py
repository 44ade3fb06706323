"""What telemetry adds to a send and a run, in memory: without it, with it, and its spans and measurements alone."""

from __future__ import annotations

from opentelemetry import context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import cloudq
from cloudq.telemetry import instrument
from cloudq.telemetry.conventions import AGE_BOUNDS, DURATION_BOUNDS
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.sqs_place import PAYLOAD, main, timed

app = cloudq.App("memory://")
tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
# What the measurements share, so that the SDK's own first steps aren't counted.
WARM = 50


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def send_and_work(count: int) -> None:
    """Sent one by one, then run by a worker."""
    for _ in range(count):
        noop.send(**PAYLOAD)
    Worker(app, WorkerSettings(max_tasks=count, concurrency=1)).run()


def off(count: int) -> None:
    """Without telemetry."""
    send_and_work(WARM)
    timed(count, lambda: send_and_work(count))


def on(count: int) -> None:
    """With spans and metrics."""
    instrument(app, tracer_provider=tracers, meter_provider=meters)
    off(count)


class Bare:
    """The same spans and measurements by the SDK itself, as a program would write them out by hand."""

    def __init__(self) -> None:
        self.tracer = tracers.get_tracer("bare")
        self.propagator = TraceContextTextMapPropagator()
        meter: metrics.Meter = meters.get_meter("bare")
        self.sent = meter.create_counter("sent")
        self.consumed = meter.create_counter("consumed")
        self.in_flight = meter.create_up_down_counter("in_flight")
        self.ended = meter.create_counter("ended")
        self.age = meter.create_histogram("age", explicit_bucket_boundaries_advisory=AGE_BOUNDS)
        self.duration = meter.create_histogram("duration", explicit_bucket_boundaries_advisory=DURATION_BOUNDS)

    def send(self, number: int) -> dict[str, str]:
        """What a send tells. Returns what travels."""
        span = self.tracer.start_span(
            "send default",
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "memory",
                "messaging.destination.name": "default",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.message.id": f"{number}",
                "cloudq.task": "noop",
            },
        )
        within = trace.set_span_in_context(span)
        token = context.attach(within)
        carrier: dict[str, str] = {}
        self.propagator.inject(carrier, within)
        self.sent.add(
            1,
            {
                "messaging.system": "memory",
                "messaging.destination.name": "default",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
            },
        )
        context.detach(token)
        span.end()
        return carrier

    def run(self, number: int, carrier: dict[str, str]) -> None:
        """What a run tells."""
        task = {"messaging.system": "memory", "messaging.destination.name": "default", "cloudq.task": "noop"}
        self.consumed.add(
            1,
            {
                "messaging.system": "memory",
                "messaging.destination.name": "default",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
            },
        )
        self.in_flight.add(1, task)
        self.age.record(0.01, task)
        brought = self.propagator.extract(carrier, context.Context())
        parent = trace.get_current_span(brought).get_span_context()
        span = self.tracer.start_span(
            "process default",
            brought,
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "memory",
                "messaging.destination.name": "default",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.message.id": f"{number}",
                "cloudq.attempt": 1,
                "cloudq.task": "noop",
            },
            links=[Link(parent)],
        )
        token = context.attach(trace.set_span_in_context(span))
        span.set_attribute("cloudq.outcome", "succeeded")
        context.detach(token)
        span.end()
        self.in_flight.add(-1, task)
        self.duration.record(
            0.001,
            {
                "messaging.system": "memory",
                "messaging.destination.name": "default",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "cloudq.task": "noop",
                "cloudq.outcome": "succeeded",
            },
        )
        self.ended.add(1, task | {"cloudq.outcome": "succeeded"})

    def all(self, count: int) -> None:
        """Those of that many tasks."""
        for number in range(count):
            self.run(number, self.send(number))


def bare(count: int) -> None:
    """The spans and the measurements alone."""
    sdk = Bare()
    sdk.all(WARM)
    timed(count, lambda: sdk.all(count))


if __name__ == "__main__":
    main({"off": off, "on": on, "bare": bare})
