"""Spans and metrics of `cloudq worker` itself, with threads and with child processes, as a collector sees them."""

from __future__ import annotations

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


def _path(folder: Path) -> str:
    return f"{Path(__file__).parents[2]}:{folder}"
