"""Every edge makes its processor of an app in one place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import stop_after_attempt

import cloudq
from cloudq import App, Context, Rate, RetryPolicy, UnsupportedError
from cloudq.aws_lambda.edge import Edge as LambdaEdge
from cloudq.azure_functions.edge import Edge as FunctionsEdge
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, DeadLettered, Outcome, Snoozed
from cloudq.core.processor import no_time_limit
from cloudq.errors import CloudqError, ConfigurationError, SchemaMismatch, StoreUnavailable
from cloudq.push.edge import PushEdge
from cloudq.running.processing import check_store, processor_of, refuse_strangers
from cloudq.worker.service import Worker

MINUTE = timedelta(minutes=1)
SOURCES = Path(cloudq.__file__).parent


def delivery(app: App, task: str, *, deliveries: int = 1) -> Delivery:
    now = app.clock.now()
    lease = Lease(queue="q", receipt=None, expires_at=now + MINUTE, ends=app.clock.elapsed() + MINUTE)
    body = wire.encode(Message(id="m", task=task, queue="q", sent_at=now))
    return Delivery.of(body, native_id="m", runs=deliveries, deliveries=deliveries, lease=lease)


def test_a_processor_has_all_that_is_its_apps() -> None:
    """Its tasks, middleware, retry policy, patience and `redact`; the edge's own limiter and backstop."""
    seen: list[str] = []

    def note(context: Context) -> Generator[None, Outcome, Outcome]:
        seen.append(context.message.task)
        outcome = yield
        return outcome

    once = RetryPolicy(stop=stop_after_attempt(1))
    app = App("memory://", retry=once, middleware=[note], unknown_task_patience=MINUTE, redact=str.upper)
    limits: list[timedelta] = []

    def limiter(limit: timedelta) -> Any:
        limits.append(limit)
        return nullcontext()

    @app.task("works", time_limit=MINUTE)
    def works() -> None: ...

    @app.task("fails")
    def fails() -> None:
        raise ValueError("no")

    processor = processor_of(app, limiter, least_deliveries=1000)
    assert isinstance(processor.process(delivery(app, "works", deliveries=1000)), Acked)
    assert [MINUTE] == limits
    failed = processor.process(delivery(app, "fails"))
    assert isinstance(failed, DeadLettered)
    assert "GAVE UP AFTER 1 ATTEMPT: VALUEERROR: NO" == failed.reason
    assert ["works", "fails"] == seen
    assert isinstance(processor.process(delivery(app, "unknown")), Snoozed)


def _maker(called: ast.expr) -> str:
    """What is called, in words: a name, or what a call of a name gives."""
    if isinstance(called, ast.Call):
        return f"{_maker(called.func)}()"
    return called.id if isinstance(called, ast.Name) else ""


def test_no_edge_makes_one_by_itself() -> None:
    """What an app has more some day, each edge then has."""
    rooms = ("running", "worker", "push", "aws_lambda", "azure_functions")
    makers = {
        path.name
        for room in rooms
        for path in (SOURCES / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _maker(node.func) in {"Processor", "TracedProcessor", "kind_of_processor()"}
    }
    assert {"processing.py"} == makers


def test_a_processor_is_as_strict_as_its_app() -> None:
    """Only `strict_queues=True` looks at where a message came from."""
    for strict, kind in ((None, Acked), (False, Acked), (True, DeadLettered)):
        app = App("memory://", strict_queues=strict)
        app.task("works", queues=["other", "third"])(lambda: None)
        outcome = processor_of(app, lambda _: nullcontext()).process(delivery(app, "works"))
        assert isinstance(outcome, kind)


def test_a_strict_app_serves_no_queue_that_no_task_names() -> None:
    """All that is in it would be dead-lettered; without strictness, any may be served."""
    app = App("memory://", strict_queues=True)
    with pytest.raises(ConfigurationError, match="no task names queue 'q'") as refused:
        refuse_strangers(app, ["q"])
    assert refused.value.hint == "declare a task with that queue"
    app.task("works", queues=["other", "third"])(lambda: None)
    refuse_strangers(app, ["third", "other"])
    with pytest.raises(ConfigurationError, match="no task names queue 'q'") as refused:
        refuse_strangers(app, ["other", "q"])
    assert refused.value.hint == "the tasks name 'other', 'third'"
    refuse_strangers(App("memory://"), ["q"])


def test_what_stands_in_for_a_task_runs_in_its_place() -> None:
    """For tools that watch the runs of tasks: all the rest is the app's own."""
    app, ran = App(), list[str]()
    app.task("t")(lambda: ran.append("t"))
    app.task("other")(lambda: ran.append("other"))
    stand_ins = {"t": app.runtime.handlers["other"]}
    assert isinstance(processor_of(app, no_time_limit, handlers=stand_ins).process(delivery(app, "t")), Acked)
    assert ["other"] == ran


# ── keys without a store ─────────────────────────────────────────────────────────────────────────────────


def keyed(url: str, **settings: Any) -> App:
    """An app with a task that declares a key."""
    app = App(url, **settings)
    app.task("charge", idempotency_key="order-{order}")(lambda order: None)
    return app


EDGES: dict[str, Callable[[], object]] = {
    "worker": lambda: Worker(keyed("sqs://eu-west-1")),
    "push": lambda: PushEdge(keyed("cloudtasks://project/europe-west1?target=https://worker.example/")).open(),
    "lambda": lambda: LambdaEdge(keyed("sqs://eu-west-1")),
    "functions": lambda: FunctionsEdge(keyed("servicebus://shop.servicebus.windows.net"), "q"),
}


def limited(url: str) -> App:
    """An app with a task whose rate all workers share."""
    app = App(url, store="none")
    app.task("crawl", rate="5/s")(lambda: None)
    return app


@pytest.mark.parametrize(
    "start",
    [
        lambda: Worker(limited("sqs://eu-west-1")),
        lambda: PushEdge(limited("cloudtasks://project/europe-west1?target=https://worker.example/")).open(),
        lambda: LambdaEdge(limited("sqs://eu-west-1")),
        lambda: FunctionsEdge(limited("servicebus://shop.servicebus.windows.net"), "q"),
    ],
)
def test_no_edge_starts_with_a_shared_limit_and_no_store(start: Callable[[], object]) -> None:
    """It says what has one, and what to do."""
    with pytest.raises(ConfigurationError, match="task 'crawl' has a limit that all workers share") as refused:
        start()
    assert "per_worker=True" in str(refused.value.hint)


@pytest.mark.parametrize(
    "start",
    [
        lambda rates: PushEdge(App("cloudtasks://p/europe-west1?target=https://w.example/", queue_rates=rates)).open(),
        lambda rates: LambdaEdge(App("sqs://eu-west-1", queue_rates=rates)),
        lambda rates: FunctionsEdge(App("servicebus://shop.servicebus.windows.net", queue_rates=rates), "q"),
    ],
)
def test_the_rate_of_a_queue_that_a_service_hands_out_is_refused(start: Callable[[dict[str, Rate]], object]) -> None:
    """With the service's own setting."""
    with pytest.raises(UnsupportedError, match="queue 'mail' has a rate of a queue"):
        start({"mail": Rate("5/s", per_worker=True)})


def test_a_limit_that_is_declared_later_is_kept() -> None:
    """An edge may be made before its app's modules are imported."""
    app = App("memory://", store="memory://")
    processor = processor_of(app, no_time_limit, limited=True)
    app.task("t", rate="1/h")(lambda: None)
    assert [Acked, Snoozed] == [type(processor.process(delivery(app, "t"))) for _ in range(2)]


@pytest.mark.parametrize("edge", EDGES)
def test_no_edge_starts_with_a_declared_key_and_no_store(edge: str) -> None:
    """It says which task, and both ways out; nothing has been opened."""
    with pytest.raises(
        ConfigurationError, match="task 'charge' declares an idempotency key, and there is no store"
    ) as refused:
        EDGES[edge]()
    assert "CLOUDQ_STORE_URL=postgresql://" in str(refused.value.hint)
    assert 'store="none"' in str(refused.value.hint)


def test_all_tasks_that_declare_a_key_are_named() -> None:
    """Not only the first."""
    app = keyed("sqs://eu-west-1")
    app.task("mail", idempotency_key="mail-{order}")(lambda order: None)
    app.task("plain")(lambda order: None)
    with pytest.raises(ConfigurationError, match="tasks 'charge', 'mail' declare"):
        check_store(app)


@pytest.mark.parametrize("store", [None, "none"])
@pytest.mark.parametrize("options", [{"keep_result": timedelta(hours=1)}, {"track": True}], ids=["result", "track"])
def test_what_is_to_be_noted_needs_a_store(store: str | None, options: dict[str, Any]) -> None:
    """Native de-duplication is no way out: it keeps no result."""
    app = App("sqs://eu-west-1", store=store)
    app.task("double", **options)(lambda: None)
    with pytest.raises(ConfigurationError, match="task 'double' declares keep_result or track") as refused:
        check_store(app)
    assert "CLOUDQ_STORE_URL" in str(refused.value.hint)
    app.configure(store="memory://")
    check_store(app)


@pytest.mark.parametrize(
    "app",
    [
        keyed("sqs://eu-west-1", store="none"),
        keyed("sqs://eu-west-1", store="memory://"),
        keyed("memory://"),
        App("sqs://eu-west-1"),
    ],
    ids=["native only", "a store", "beside the backend", "no key"],
)
def test_both_ways_out_lead_out(app: App) -> None:
    """And who declares no key needs none."""
    check_store(app)


def test_a_store_that_is_not_available_keeps_no_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What has a key waits; all else runs. What can't work at all is refused."""
    errors: list[CloudqError] = [StoreUnavailable("no route to host"), SchemaMismatch("the tables are missing")]

    def fail(url: str, **options: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr("cloudq.queues.store_connection.open_store", fail)
    app = App("sqs://eu-west-1", store="redis://localhost")
    check_store(app)
    assert "no route to host" in caplog.text
    with pytest.raises(SchemaMismatch):
        check_store(app)


def test_a_processor_has_the_patience_of_its_app():
    """With what is snoozed."""

    def asleep(_):
        return Snoozed(delay=MINUTE, reason="asleep")
        yield

    app = App("memory://", middleware=[asleep], snooze_patience=timedelta(0))

    @app.task("works")
    def works() -> None: ...

    processor = processor_of(app, no_time_limit)
    assert isinstance(processor.process(delivery(app, "works")), DeadLettered)
