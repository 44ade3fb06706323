"""`instrument`: has an app tell OpenTelemetry of its sends and its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from cloudq import __version__
from cloudq.app import App
from cloudq.errors import ConfigurationError

try:
    from opentelemetry import metrics as otel_metrics
    from opentelemetry import trace as otel_trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "telemetry needs OpenTelemetry's API, which isn't installed", hint="pip install 'cloudq[otel]'"
    ) from error

from cloudq.telemetry.metrics import Metrics
from cloudq.telemetry.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

SCOPE: Final = "cloudq"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
# What would be counted twice, or leave the first call's provider without spans.
_traced: Final[WeakSet[App]] = WeakSet()
_measured: Final[WeakSet[App]] = WeakSet()


def instrument(
    app: App | None = None,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    propagator: TextMapPropagator | None = None,
    spans: bool = True,
    metrics: bool = True,
    sdk_spans: bool = False,
) -> None:
    """Has an app's sends and runs become OpenTelemetry's spans and metrics. Call it once, where the app is made.

    Which process exports them, and where to, is the SDK's: `opentelemetry-instrument cloudq worker`, or a provider that
    your module sets. Without one nothing is recorded, and nothing travels with a message.

    Args:
        app: Whose; default: the default app, that of `cloudq.task`.
        tracer_provider: Makes the spans; default: OpenTelemetry's global one, also if it is set later.
        meter_provider: Makes the metrics; default: the global one, as above.
        propagator: What a message's headers carry; default: W3C's trace context alone. Baggage isn't stored with
            messages unless you say so: `propagator=opentelemetry.propagate.get_global_textmap()`.
        spans: Whether to make spans.
        metrics: Whether to make metrics.
        sdk_spans: Whether instrumentations of an SDK (botocore's, gRPC's) make spans of their own of the calls that
            cloudq makes by it, beside ours. By default they don't, and boto3sqs is called past.

    Raises:
        ConfigurationError: OpenTelemetry's API isn't installed, it is no App, or it was instrumented before.
    """
    if app is None:
        from cloudq.default_app import default

        app = default
    if not isinstance(app, App):
        raise ConfigurationError(f"instrument takes an App, not {app!r}", hint="instrument(app), or instrument()")
    for wanted, done, what in ((spans, _traced, "spans"), (metrics, _measured, "metrics")):
        if wanted and app in done:
            raise ConfigurationError(f"the app has {what} already", hint="call instrument once, where the app is made")
    if spans:
        tracer = otel_trace.get_tracer(SCOPE, __version__, tracer_provider, schema_url=SCHEMA)
        app.runtime.trace(Spans(tracer, propagator or TraceContextTextMapPropagator(), sdk_spans=sdk_spans))
        _traced.add(app)
    if metrics:
        meter = otel_metrics.get_meter(SCOPE, __version__, meter_provider, schema_url=SCHEMA)
        app.observe(Metrics(meter, app.runtime.handlers))
        _measured.add(app)
