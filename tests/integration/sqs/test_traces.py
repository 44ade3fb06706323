"""From a request through SQS to a task that sends another: one trace, also beside other instrumentations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import boto3
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.boto3sqs import Boto3SQSInstrumentor
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from cloudq import App
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.lean import LeanClient
from cloudq.telemetry import instrument
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.chaos.raw_answers import RawServer
from tests.integration.otlp_collector import CollectedSpan, Collector
from tests.integration.sqs.conftest import Place
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.served import answered

CHAIN = ["POST /orders", "send orders", "process orders", "send mail", "process mail"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def provider(collector: Collector) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(collector.url)))
    yield provider
    provider.shutdown()


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs("orders", "mail", "orders-dlq", "mail-dlq")


@pytest.fixture
def server(sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with RawServer(lambda request: answered(sqs, request)) as server:
        yield server


def nothing_else(provider: TracerProvider) -> Iterator[None]:
    yield


def beside_botocore(provider: TracerProvider) -> Iterator[None]:
    BotocoreInstrumentor().instrument(tracer_provider=provider)
    yield
    BotocoreInstrumentor().uninstrument()


def beside_boto3sqs(provider: TracerProvider) -> Iterator[None]:
    Boto3SQSInstrumentor().instrument(tracer_provider=provider)
    yield
    Boto3SQSInstrumentor().uninstrument()


@pytest.fixture(params=[nothing_else, beside_botocore, beside_boto3sqs], ids=lambda one: one.__name__)
def others(request: pytest.FixtureRequest, provider: TracerProvider) -> Iterator[None]:
    """Instrumentations that are turned on before anything is opened."""
    make: Callable[[TracerProvider], Iterator[None]] = request.param
    yield from make(provider)


def shop(server: RawServer, provider: TracerProvider, wire: str = "auto", *, sdk_spans: bool = False) -> App:
    url = f"sqs://eu-west-1?endpoint_url={quote(server.url)}&wire={wire}"
    return shop_of(url, provider, sdk_spans=sdk_spans)


def shop_of(url: str, provider: TracerProvider, *, sdk_spans: bool = False) -> App:
    app = App(url)
    instrument(app, tracer_provider=provider, metrics=False, sdk_spans=sdk_spans)

    @app.task("shop.mailed", queue="mail")
    def mailed(order_id: int) -> None: ...

    @app.task("shop.ordered", queue="orders")
    def ordered(order_id: int) -> None:
        mailed.send(order_id=order_id)

    return app


def ordered(app: App, provider: TracerProvider) -> None:
    """A request's work: it sends, and a worker runs what comes of that."""
    with provider.get_tracer("web").start_as_current_span("POST /orders", kind=SpanKind.SERVER):
        app.send("shop.ordered", {"order_id": 7})
    assert 0 == Worker(app, WorkerSettings(burst=True, concurrency=2)).run()
    app.close()
    assert provider.force_flush()


def chain_of(spans: list[CollectedSpan]) -> list[str]:
    """The names from the last one of all to the first, by their parents."""
    by_id = {span.id: span for span in spans}
    [last] = [span for span in spans if span.name == "process mail"]
    names = [last.name]
    while last.parent:
        last = by_id[last.parent]
        names.append(last.name)
    return names[::-1]


@pytest.mark.parametrize("wire", ["auto", "boto3"])
def test_a_request_and_all_that_follows_are_one_trace(
    others: None, server: RawServer, provider: TracerProvider, collector: Collector, wire: str
) -> None:
    """Seen by the collector whole: each is its parent's child, and nothing is told twice."""
    app = shop(server, provider, wire)
    driver = app.driver()
    assert isinstance(driver, SQSDriver)
    assert (wire == "auto") is isinstance(driver._calls.client_for("orders"), LeanClient)
    ordered(app, provider)
    assert CHAIN == chain_of(collector.spans)
    assert sorted(CHAIN) == sorted(span.name for span in collector.spans)
    assert 1 == len({span.trace for span in collector.spans})
    assert {"aws_sqs"} == {span.attributes["messaging.system"] for span in collector.spans if span.scope == "cloudq"}


@pytest.mark.parametrize("wire", ["auto", "boto3"])
def test_no_span_is_kept_for_ever(
    server: RawServer, provider: TracerProvider, collector: Collector, sqs: FakeSqs, wire: str
) -> None:
    """boto3sqs keeps one for each message that is received, until that is deleted by itself; it is called past."""
    Boto3SQSInstrumentor().instrument(tracer_provider=provider)
    try:
        app = shop(server, provider, wire)
        app.send_many([app.tasks["shop.ordered"].call(order_id=number) for number in range(20)])
        assert 0 == Worker(app, WorkerSettings(burst=True, concurrency=4)).run()
        app.close()
    finally:
        Boto3SQSInstrumentor().uninstrument()
    assert {} == Boto3SQSInstrumentor.received_messages_spans
    assert provider.force_flush()
    assert 20 == sum(span.name == "process mail" for span in collector.spans)
    assert {"cloudq"} == {span.scope for span in collector.spans}
    entries = [entry for name, call in sqs.calls if name == "SendMessageBatch" for entry in call["Entries"]]
    assert [] == [entry for entry in entries if "traceparent" in entry.get("MessageAttributes", {})]


def test_a_tasks_own_calls_of_the_sdk_are_traced(
    server: RawServer, provider: TracerProvider, collector: Collector, sqs: FakeSqs
) -> None:
    """Its spans are the run's children, as anywhere else in the program."""
    Boto3SQSInstrumentor().instrument(tracer_provider=provider)
    try:
        app = shop(server, provider)
        client = boto3.client("sqs", endpoint_url=server.url)
        url = client.get_queue_url(QueueName="mail")["QueueUrl"]

        @app.task("shop.notifying", queue="orders")
        def notifying() -> None:
            client.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "not for us"}])

        app.send(notifying)
        assert 0 == Worker(app, WorkerSettings(queues={"orders": 1}, burst=True)).run()
        app.close()
    finally:
        Boto3SQSInstrumentor().uninstrument()
    assert provider.force_flush()
    [own] = [span for span in collector.spans if span.name == "mail send"]
    [run] = [span for span in collector.spans if span.name == "process orders"]
    assert run.id == own.parent


def test_the_sdks_spans_can_be_had_beside_ours(
    server: RawServer, provider: TracerProvider, collector: Collector
) -> None:
    """For whom wants to see each request."""
    BotocoreInstrumentor().instrument(tracer_provider=provider)
    try:
        ordered(shop(server, provider, sdk_spans=True), provider)
    finally:
        BotocoreInstrumentor().uninstrument()
    [sent] = [span for span in collector.spans if span.name == "send orders"]
    assert sent.id in {span.parent for span in collector.spans if span.scope.startswith("opentelemetry")}


@pytest.mark.slow
def test_on_localstack_it_is_one_trace_too(place: Place, provider: TracerProvider, collector: Collector) -> None:
    """Beside boto3sqs, over the whole way."""
    Boto3SQSInstrumentor().instrument(tracer_provider=provider)
    try:
        app = shop_of(place.url, provider)
        for queue in ("orders", "mail"):
            app.driver().make_queue(queue)  # type: ignore[attr-defined]  # SQS's has it
        ordered(app, provider)
    finally:
        Boto3SQSInstrumentor().uninstrument()
    assert {} == Boto3SQSInstrumentor.received_messages_spans
    assert CHAIN == chain_of(collector.spans)
    assert sorted(CHAIN) == sorted(span.name for span in collector.spans)
