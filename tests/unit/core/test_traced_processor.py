"""A Processor whose runs are parts of traces, for sync and async tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from cloudq import App, Context
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, Outcome
from cloudq.core.processor import Processor
from cloudq.core.run_fields import RUN_FIELDS
from cloudq.core.traced_processor import TracedProcessor

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Tracing:
    """Notes what happens within a run."""

    quiet = None

    def __init__(self) -> None:
        self.log: list[object] = []
        self.fields: dict[str, object] = {}

    def opened(self, system: str, server: str | None) -> None: ...

    def ids(self) -> dict[str, str]:
        return {"trace_id": "t" * 32, "span_id": "s" * 16}

    @contextmanager
    def sending(self, messages: list[Message]) -> Iterator[list[Message]]:
        yield messages

    @contextmanager
    def running(self, delivery: Delivery) -> Iterator[Tracing]:
        self.log.append(delivery.id)
        try:
            yield self
        finally:
            self.log.append("closed")

    def ended(self, outcome: Outcome) -> None:
        self.log.append(outcome)


def delivery(task: str) -> Delivery:
    lease = Lease(queue="default", receipt=None, ends=timedelta(days=1), expires_at=NOW + timedelta(days=1))
    body = wire.encode(Message(id="7", task=task, queue="default"))
    return Delivery.of(body, native_id="7", runs=1, deliveries=1, lease=lease)


def app_of(tracing: Tracing) -> App:
    app = App("memory://")

    @app.task("plain")
    def plain() -> None:
        tracing.log.append("ran")
        tracing.fields.update(RUN_FIELDS.get() or {})

    @app.task("coroutine")
    async def coroutine() -> None:
        tracing.log.append("ran")
        tracing.fields.update(RUN_FIELDS.get() or {})

    @app.task("gone")
    def gone() -> None:
        raise KeyboardInterrupt

    app.load()
    return app


def processed(processor: Processor[Context], task: str) -> Outcome:
    if task == "coroutine":
        return asyncio.run(processor.aprocess(delivery(task)))
    return processor.process(delivery(task))


@pytest.mark.parametrize("task", ["plain", "coroutine"])
def test_a_run_is_within_its_part_of_a_trace(task: str) -> None:
    """Which learns of the outcome before it is over."""
    tracing = Tracing()
    processor: Processor[Context] = TracedProcessor(app_of(tracing).runtime.handlers, tracing=tracing)
    assert ACKED == processed(processor, task)
    assert ["7", "ran", ACKED, "closed"] == tracing.log


@pytest.mark.parametrize("task", ["plain", "coroutine"])
def test_log_lines_of_a_run_name_its_span(task: str) -> None:
    """And its trace, beside what they carry without one."""
    tracing = Tracing()
    processed(TracedProcessor(app_of(tracing).runtime.handlers, tracing=tracing), task)
    assert ("t" * 32, "s" * 16, task) == tuple(tracing.fields[name] for name in ("trace_id", "span_id", "task"))


def test_a_run_that_is_interrupted_has_no_outcome() -> None:
    """Its part of the trace is over all the same."""
    tracing = Tracing()
    processor: Processor[Context] = TracedProcessor(app_of(tracing).runtime.handlers, tracing=tracing)
    with pytest.raises(KeyboardInterrupt):
        processor.process(delivery("gone"))
    assert ["7", "closed"] == tracing.log
