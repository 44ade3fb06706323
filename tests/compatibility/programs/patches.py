"""Tracers, each turned on as its documentation says. None finds anybody to report to."""

from __future__ import annotations

import os


def patch(name: str) -> None:
    """Has the tracer of that name patch what it patches; without a name nothing is."""
    if name:
        _TRACERS[name]()


def _ddtrace() -> None:
    os.environ |= {
        "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
        "DD_TRACE_STARTUP_LOGS": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }
    import ddtrace

    ddtrace.patch(botocore=True, sqlite3=True)


def _ddtrace_streams() -> None:
    os.environ["DD_DATA_STREAMS_ENABLED"] = "true"
    _ddtrace()


def _otel_provider() -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())


def _otel_boto3sqs() -> None:
    _otel_provider()
    from opentelemetry.instrumentation.boto3sqs import Boto3SQSInstrumentor

    Boto3SQSInstrumentor().instrument()


def _otel_botocore() -> None:
    _otel_provider()
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

    BotocoreInstrumentor().instrument()


def _otel_sqlite3() -> None:
    _otel_provider()
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

    SQLite3Instrumentor().instrument()


def _sentry() -> None:
    import sentry_sdk

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, shutdown_timeout=0)


def _xray() -> None:
    os.environ["AWS_XRAY_CONTEXT_MISSING"] = "IGNORE_ERROR"
    from aws_xray_sdk.core import patch as patch_modules

    patch_modules(["botocore", "sqlite3"])


_TRACERS = {
    "ddtrace": _ddtrace,
    "ddtrace-streams": _ddtrace_streams,
    "otel-boto3sqs": _otel_boto3sqs,
    "otel-botocore": _otel_botocore,
    "otel-sqlite3": _otel_sqlite3,
    "sentry": _sentry,
    "xray": _xray,
}
