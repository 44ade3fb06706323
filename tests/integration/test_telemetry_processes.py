"""Spans and metrics of `cloudq worker` itself, with threads and with child processes, as a collector sees them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.integration.otlp_collector import Collector
from tests.integration.processes import end, start_python, start_worker

# What a program does that isn't started by `opentelemetry-instrument`.
APP = """
import os
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import cloudq
from cloudq.telemetry import instrument

provider = TracerProvider(resource=Resource.create({"process.pid": os.getpid()}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(os.environ["COLLECTOR"])))
trace.set_tracer_provider(provider)

app = cloudq.App("sqlite:///queue.db")
instrument(app)


@app.task("shop.mailed", queue="mail")
def mailed() -> None: ...


@app.task("shop.ordered", queue="orders")
def ordered() -> None:
    mailed.send()
"""
# One that sets up nothing: its SDK is that of `opentelemetry-instrument`.
PLAIN = """
import logging
import cloudq
from cloudq.telemetry import instrument

app = cloudq.App("sqlite:///queue.db")
instrument(app)


@app.task("shop.mailed", queue="mail")
def mailed() -> None:
    logging.getLogger("shop").warning("mailed")


@app.task("shop.ordered", queue="orders")
def ordered() -> None:
    mailed.send()
"""
SEND = """
from app import ordered
ordered.send()
"""


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["threads", "processes"])
def test_a_workers_spans_are_one_trace_with_the_senders(tmp_path: Path, processes: tuple[str, ...]) -> None:
    """Of three programs: the one that sends, and the processes that run its task and what that sends."""
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    with Collector() as collector:
        assert 0 == start_python(tmp_path, SEND, COLLECTOR=collector.url, PYTHONPATH=_path(tmp_path)).wait(60)
        worker = start_worker(tmp_path, "--burst", *processes, COLLECTOR=collector.url, PYTHONPATH=_path(tmp_path))
        try:
            code = worker.wait(60)
        finally:
            end(worker)
        assert 0 == code, (tmp_path / "worker.log").read_text()
    chain = ["send orders", "process orders", "send mail", "process mail"]
    spans = {span.name: span for span in collector.spans}
    assert sorted(chain) == sorted(span.name for span in collector.spans)
    assert [b"", *(spans[name].id for name in chain[:-1])] == [spans[name].parent for name in chain]


def test_a_worker_that_opentelemetry_instrument_starts(tmp_path: Path) -> None:
    """Its spans, of its child processes, and its metrics are exported; its log lines are as they are without it."""
    (tmp_path / "app.py").write_text(PLAIN, encoding="utf-8")
    agent = (sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()")
    with Collector() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/v1/traces"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "shop-worker",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            "PYTHONPATH": _path(tmp_path),
        }
        assert 0 == start_python(tmp_path, SEND, **settings).wait(60)
        worker = start_worker(tmp_path, "--burst", "--log-format", "json", "--processes", "2", by=agent, **settings)
        try:
            code = worker.wait(60)
        finally:
            end(worker)
    log = (tmp_path / "worker.log").read_text()
    assert 0 == code, log
    assert ["process mail", "process orders", "send mail"] == sorted(span.name for span in collector.spans)
    assert {"messaging.process.duration", "messaging.client.sent.messages"} <= collector.metrics
    lines = [json.loads(line) for line in log.splitlines()]
    [mailed] = [line for line in lines if line["message"] == "mailed"]
    traces = {span.name: span.trace for span in collector.spans}
    assert traces["process mail"].hex() == mailed["trace_id"]


def _path(folder: Path) -> str:
    return f"{Path(__file__).parents[2]}:{folder}"
