"""Sends before a tool is turned on, while it is, and after: `aside.py TOOL ENDPOINT`. Prints as JSON what came of it.

Each is turned on as its documentation says, and off where it can be. None of them reaches another machine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from cloudq.core.driver import Outgoing
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.lean import LeanClient

Seen = Callable[[], int]
# Of a tool that only looks at what is replaced once a second.
SOON = 3.0


def stubber(stack: ExitStack, driver: SQSDriver) -> None:
    from botocore.stub import Stubber

    stub = stack.enter_context(Stubber(driver.client))
    stub.add_client_error("send_message_batch", "AccessDenied", "by the stub")


def vcrpy(stack: ExitStack, driver: SQSDriver) -> None:
    import vcr

    stack.enter_context(vcr.use_cassette(os.devnull, record_mode="none"))


def pytest_recording(stack: ExitStack, driver: SQSDriver) -> None:
    from pytest_recording import network

    driver.client.close()  # what is open stays open, with botocore too
    network.block()
    stack.callback(network.unblock)


def pytest_socket(stack: ExitStack, driver: SQSDriver) -> None:
    import pytest_socket

    driver.client.close()
    pytest_socket.disable_socket()
    stack.callback(pytest_socket.enable_socket)


def httpretty(stack: ExitStack, driver: SQSDriver) -> None:
    import httpretty

    driver.client.close()
    httpretty.enable(allow_net_connect=False)
    stack.callback(httpretty.disable)


def otel_botocore(stack: ExitStack, driver: SQSDriver) -> Seen:
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

    return _otel(stack, BotocoreInstrumentor())


def otel_boto3sqs(stack: ExitStack, driver: SQSDriver) -> Seen:
    from opentelemetry.instrumentation.boto3sqs import Boto3SQSInstrumentor

    return _otel(stack, Boto3SQSInstrumentor())


def _otel(stack: ExitStack, instrumentor: Any) -> Seen:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    instrumentor.instrument()
    stack.callback(instrumentor.uninstrument)
    return lambda: len(exporter.get_finished_spans())


def datadog(stack: ExitStack, driver: SQSDriver) -> Seen:
    os.environ |= {
        "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
        "DD_TRACE_STARTUP_LOGS": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }
    import ddtrace
    from ddtrace.contrib.internal.botocore.patch import unpatch
    from ddtrace.trace import TraceFilter, tracer

    seen: list[Any] = []

    class Keep(TraceFilter):
        def process_trace(self, trace: list[Any]) -> None:
            seen.extend(trace)

    tracer.configure(trace_processors=[Keep()])
    ddtrace.patch(botocore=True)
    stack.callback(unpatch)
    return lambda: len(seen)


def xray(stack: ExitStack, driver: SQSDriver) -> Seen:
    from aws_xray_sdk.core import patch, xray_recorder

    xray_recorder.configure(sampling=False, context_missing="IGNORE_ERROR", daemon_address="127.0.0.1:9")
    segment = xray_recorder.begin_segment("a program")
    patch(["botocore"])
    stack.callback(xray_recorder.end_segment)
    return lambda: len(segment.subsegments)


def sentry(stack: ExitStack, driver: SQSDriver) -> Seen:
    import sentry_sdk

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, shutdown_timeout=0)
    transaction = stack.enter_context(sentry_sdk.start_transaction(name="a program"))
    return lambda: len(transaction._span_recorder.spans) - 1  # itself is one


def instana(stack: ExitStack, driver: SQSDriver) -> None:
    import instana  # noqa: F401 - it instruments what is imported


TOOLS = {
    "stubber": stubber,
    "vcrpy": vcrpy,
    "pytest-recording": pytest_recording,
    "pytest-socket": pytest_socket,
    "httpretty": httpretty,
    "otel-botocore": otel_botocore,
    "otel-boto3sqs": otel_boto3sqs,
    "ddtrace": datadog,
    "xray": xray,
    "sentry": sentry,
    "instana": instana,
}


def is_lean(driver: SQSDriver) -> bool:
    return isinstance(driver._calls.client_for("q"), LeanClient)


def waited(driver: SQSDriver, *, lean: bool) -> bool:
    """Whether, within the time that it may take, the driver does so."""
    end = time.monotonic() + SOON
    while is_lean(driver) is not lean and time.monotonic() < end:
        time.sleep(0.05)
    return is_lean(driver)


def send(driver: SQSDriver, moment: str) -> str:
    """Sends a message that tells its moment; what came of it."""
    return str(driver.send([Outgoing(id="1", queue="q", body=json.dumps({"sent": moment}).encode())])[0].error)


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: Instana looks for its agent on the gateway, too."""
    if event == "socket.connect" and arguments[1][0] not in {"127.0.0.1", "::1"}:
        raise OSError(f"{arguments[1]} is another machine")


def main(tool: str, endpoint: str) -> None:
    def opened() -> SQSDriver:
        return SQSDriver("us-east-1", account="000000000000", endpoint_url=endpoint, timeout=timedelta(seconds=6))

    driver, said = opened(), {}
    said["before"] = is_lean(driver), send(driver, "before")
    with ExitStack() as stack:
        seen = TOOLS[tool](stack, driver) or int
        said["on"] = waited(driver, lean=False), send(driver, "on")
        said["seen"] = seen()
        later = opened()
        said["opened while on"] = is_lean(later), send(later, "opened while on")
        said["seen later"] = seen()
    said["off"] = waited(driver, lean=True), send(driver, "off")
    print(json.dumps(said), flush=True)
    os._exit(0)  # some have threads that wait for their agents


sys.addaudithook(stay_here)
main(*sys.argv[1:])
