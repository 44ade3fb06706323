"""Sends and runs as spans, by OpenTelemetry's conventions for messaging."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import cloudq
from cloudq import App, SendManyError
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.run_fields import RUN_FIELDS
from cloudq.drivers.memory import MemoryDriver
from cloudq.telemetry import instrument
from cloudq.telemetry.spans import Spans
from cloudq.testing import in_memory, run_all
from tests.unit.telemetry.telling import Told

W3C = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def app(told: Told) -> Iterator[App]:
    """An app whose tasks say in which span they run."""
    app = App("memory://")
    instrument(app, tracer_provider=told.tracers, meter_provider=told.meters)

    @app.task("shop.paid")
    def paid() -> None:
        trace.get_current_span().set_attribute("ran.here", True)

    @app.task("shop.ordered", queue="orders")
    def ordered() -> None:
        paid.send()

    @app.task("shop.failing")
    def failing() -> None:
        raise ValueError("no such order; password=hunter2hunter2")

    with in_memory(app):
        yield app


def delivery_of(task: str) -> Delivery:
    soon = datetime(2026, 1, 1, tzinfo=UTC)
    lease = Lease(queue="default", receipt=None, ends=timedelta(minutes=1), expires_at=soon)
    body = wire.encode(Message(id="1", task=task, queue="default"))
    return Delivery.of(body, native_id="1", runs=1, deliveries=1, lease=lease)


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def stored_headers(app: App) -> Mapping[str, str]:
    driver = app.driver()
    assert isinstance(driver, MemoryDriver)
    return wire.decode(driver.sent[-1].body, "default").headers


def test_a_send_and_its_run_are_one_trace(app: App, told: Told) -> None:
    """The span of the run is a child of that of the send, and linked to it."""
    sent = app.send("shop.paid")
    run_all(app)
    send, process = told.spans()["send default"], told.spans()["process default"]
    both = {
        "messaging.system": "memory",
        "messaging.destination.name": "default",
        "messaging.message.id": sent.id,
        "cloudq.task": "shop.paid",
    }
    assert both | {"messaging.operation.name": "send", "messaging.operation.type": "send"} == attributes(send)
    assert both | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "cloudq.attempt": 1,
        "cloudq.outcome": "succeeded",
        "ran.here": True,
    } == attributes(process)
    assert (SpanKind.PRODUCER, SpanKind.CONSUMER) == (send.kind, process.kind)
    assert id_of(send) == parent_of(process)
    assert [id_of(send)] == [link.context.span_id for link in process.links]
    assert send.get_span_context().trace_id == process.get_span_context().trace_id
    assert StatusCode.UNSET is send.status.status_code is process.status.status_code


def test_what_a_task_sends_belongs_to_its_trace(app: App, told: Told) -> None:
    """From a request to the task that its task sends."""
    with told.tracers.get_tracer("web").start_as_current_span("POST /orders") as request:
        app.send("shop.ordered")
    run_all(app)
    spans = told.spans()
    chain = ["POST /orders", "send orders", "process orders", "send default", "process default"]
    assert [None, *(id_of(spans[name]) for name in chain[:-1])] == [parent_of(spans[name]) for name in chain]
    assert {request.get_span_context().trace_id} == {span.get_span_context().trace_id for span in spans.values()}


def test_each_of_many_has_a_context_of_its_own(app: App, told: Told) -> None:
    """The span of the send is linked to all of them; each run is a child of its own."""
    paid = app.tasks["shop.paid"]
    app.send_many([paid.call(), paid.call()])
    run_all(app)
    assert ["create default"] * 2 + ["send default"] + ["process default"] * 2 == told.names()
    one, two, send, *runs = told.all_spans()
    assert (SpanKind.PRODUCER, SpanKind.CLIENT) == (one.kind, send.kind)
    assert 2 == attributes(send)["messaging.batch.message_count"]
    assert [id_of(one), id_of(two)] == [link.context.span_id for link in send.links]
    assert {id_of(one), id_of(two)} == {parent_of(span) for span in runs}


def test_many_to_several_queues_name_none(app: App, told: Told) -> None:
    """A destination holds for all of a batch, or isn't said."""
    app.send_many([app.tasks["shop.paid"].call(), app.tasks["shop.ordered"].call()])
    assert "messaging.destination.name" not in attributes(told.spans()["send"])


def test_a_context_that_the_sender_gave_is_kept(app: App, told: Told) -> None:
    """The run is a child of that; the span of the send only links to it."""
    app.send("shop.paid", headers={"traceparent": W3C, "tenant": "7"})
    assert {"traceparent": W3C, "tenant": "7"} == stored_headers(app)
    run_all(app)
    send, process = told.spans()["send default"], told.spans()["process default"]
    assert (SpanKind.CLIENT, [PARENT]) == (send.kind, [link.context.span_id for link in send.links])
    assert (TRACE, PARENT) == (process.get_span_context().trace_id, parent_of(process))


def test_other_headers_travel_beside_the_context(app: App) -> None:
    """Ours is added to those of the sender."""
    app.send("shop.paid", headers={"tenant": "7"})
    assert {"tenant", "traceparent"} == set(stored_headers(app))


@pytest.mark.parametrize("text", ["00-1-2-01", "ff" + W3C[2:], W3C + "0" * 10_000, "00-" + "0" * 32 + W3C[35:]])
def test_a_context_that_is_none_begins_a_new_trace(app: App, told: Told, text: str) -> None:
    """Anybody can write it."""
    app.send("shop.paid", headers={"traceparent": text})
    run_all(app)
    process = told.spans()["process default"]
    assert (None, ()) == (process.parent, tuple(process.links))


def test_a_failure_is_an_error_of_its_span(app: App, told: Told) -> None:
    """With the error as it is kept, without its secrets; once for each attempt."""
    app.send("shop.failing")
    run_all(app)
    runs = [span for span in told.all_spans() if span.name == "process default"]
    assert ["retried"] * 4 + ["dead_lettered"] == [attributes(span)["cloudq.outcome"] for span in runs]
    assert [1, 2, 3, 4, 5] == [attributes(span)["cloudq.attempt"] for span in runs]
    assert (StatusCode.ERROR, "ValueError") == (runs[-1].status.status_code, attributes(runs[-1])["error.type"])
    [event] = runs[-1].events
    said = event.attributes or {}
    assert ("exception", "ValueError") == (event.name, said["exception.type"])
    assert str(said["exception.message"]).startswith("no such order")
    assert "raise ValueError" in str(said["exception.stacktrace"])
    assert "hunter2" not in "".join(span.to_json() for span in told.all_spans())


def test_what_only_waits_is_no_error(told: Told) -> None:
    """Its time will come."""

    def early(context: cloudq.Context) -> Generator[None, cloudq.Outcome, cloudq.Outcome]:
        if told.names().count("process default") == 0:
            return cloudq.Snoozed(delay=timedelta(hours=1), reason="early")
        return (yield)

    app = App("memory://", middleware=[early])
    instrument(app, tracer_provider=told.tracers, meter_provider=told.meters)
    app.task("shop.paid")(lambda: None)
    with in_memory(app):
        app.send("shop.paid")
        run_all(app)
    runs = [span for span in told.all_spans() if span.name == "process default"]
    assert ["snoozed", "succeeded"] == [attributes(span)["cloudq.outcome"] for span in runs]
    assert {StatusCode.UNSET} == {span.status.status_code for span in runs}


def test_a_run_in_a_request_belongs_to_the_request(app: App, told: Told) -> None:
    """As the conventions have it: its span is the request's child, and linked to what the message brought."""
    app.send("shop.paid")
    with told.tracers.get_tracer("web").start_as_current_span("POST /push") as request:
        run_all(app)
    send, process = told.spans()["send default"], told.spans()["process default"]
    assert request.get_span_context().span_id == parent_of(process)
    assert [id_of(send)] == [link.context.span_id for link in process.links]


def test_a_send_that_fails_is_an_error_of_its_span(app: App, told: Told) -> None:
    """By the class of what was raised."""
    with pytest.raises(cloudq.UnsupportedError):
        app.send("shop.paid", ordering_key="k")
    send = told.spans()["send default"]
    assert (StatusCode.ERROR, "cloudq.errors.UnsupportedError") == (
        send.status.status_code,
        attributes(send)["error.type"],
    )


def test_many_that_fail_are_an_error_of_their_span(app: App, told: Told) -> None:
    """That of the send, as each was created."""
    with pytest.raises(SendManyError):
        app.send_many([app.tasks["shop.paid"].options(ordering_key="k").call()] * 2)
    assert StatusCode.ERROR is told.spans()["send default"].status.status_code
    assert StatusCode.UNSET is told.spans()["create default"].status.status_code


def test_log_lines_of_a_run_carry_its_ids(app: App, told: Told) -> None:
    """So that a line leads to its trace, and back."""
    seen: dict[str, object] = {}

    @app.task("shop.logging")
    async def logging() -> None:
        seen.update(RUN_FIELDS.get() or {})

    app.send("shop.logging")
    run_all(app)
    context = told.spans()["process default"].get_span_context()
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (seen["trace_id"], seen["span_id"])


def test_a_coroutine_that_is_closed_elsewhere_ends_its_span(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """By the garbage collector, say, after its loop has gone. Nothing is logged about a context that isn't its own."""
    spans = Spans(told.tracers.get_tracer("test"), TraceContextTextMapPropagator())

    async def aprocess() -> None:
        with spans.running(delivery_of("shop.paid")):
            await asyncio.sleep(3600)

    async def begin() -> Coroutine[Any, Any, None]:
        coroutine = aprocess()
        coroutine.send(None)
        return coroutine

    coroutine = contextvars.Context().run(asyncio.run, begin())
    coroutine.close()
    assert ["process default"] == told.names()
    assert [] == caplog.messages


def test_async_sends_have_the_same_spans(app: App, told: Told) -> None:
    """On a loop, too."""

    async def send() -> None:
        await app.asend("shop.paid")
        await app.asend_many([app.tasks["shop.paid"].call(), app.tasks["shop.paid"].call()])

    asyncio.run(send())
    assert ["send default", "create default", "create default", "send default"] == told.names()


def test_the_first_send_of_a_program_names_its_backend(told: Told) -> None:
    """Which it opens, so that it isn't known before."""
    app = App("memory://")
    instrument(app, tracer_provider=told.tracers, meter_provider=told.meters)
    app.task("shop.paid")(lambda: None)
    app.send("shop.paid")
    assert "memory" == attributes(told.spans()["send default"])["messaging.system"]


def test_without_a_provider_nothing_travels() -> None:
    """OpenTelemetry's API alone does nothing."""
    app = App("memory://")
    instrument(app)
    ran = []
    app.task("shop.paid")(lambda: ran.append(1))
    with in_memory(app):
        app.send("shop.paid")
        assert {} == stored_headers(app)
        run_all(app)
    assert [1] == ran
