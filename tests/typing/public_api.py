"""What mypy has to see in users' code. Checked by `make check`, never run.

An ignore that isn't needed is an error in strict mode: so each of them states that the line IS refused, with that code.
"""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, assert_type

import azure.functions as func

import cloudq
from cloudq import INJECTED, App, Call, Context, Depends, Result, RetryPolicy, Sent, Task
from cloudq.aws_lambda import Answer, LambdaFunction, handler
from cloudq.azure_functions import MessageFunction
from cloudq.azure_functions import handler as function_handler

app = App("memory://")


@cloudq.task
def bare(user_id: int, greeting: str = "hello") -> bool:
    return bool(user_id and greeting)


@cloudq.task("shop.named")
def named(user_id: int) -> str:
    return str(user_id)


@app.task(queue="mail", retry=RetryPolicy(), time_limit=timedelta(minutes=5), idempotency_key="mail-{user_id}")
def with_options(context: Context, user_id: int) -> str:
    return f"{context.id} {user_id}"


@app.task
async def asynchronous(context: Context, *, user_id: int) -> int:
    return context.attempt + user_id


def parameters_are_the_functions_own() -> None:
    assert_type(bare.send(42), Sent[bool])
    assert_type(bare.send(user_id=42, greeting="hi"), Sent[bool])
    assert_type(bare.call(42), Call)
    assert_type(bare(42), bool)
    assert_type(named(42), str)
    bare.send("42")  # type: ignore[arg-type]  # an int is asked for
    bare.send()  # type: ignore[call-arg]  # user_id is missing
    bare.send(42, greetings="hi")  # type: ignore[call-arg]  # misspelt
    named.call(user_id=None)  # type: ignore[arg-type]  # an int is asked for


def the_context_is_hidden() -> None:
    assert_type(with_options(42), str)
    assert_type(with_options.send(user_id=42), Sent[str])
    coroutine = assert_type(asynchronous(user_id=42), Coroutine[Any, Any, int])
    coroutine.close()
    asynchronous.send(42)  # type: ignore[call-arg]  # keyword-only


@app.task(
    idempotency_key=lambda user_id: f"remind-{user_id}",
    unique_until="start",
    idempotency_ignore={"requested_at"},
    on_store_error="run",
)
def keyed(context: Context, user_id: int, requested_at: datetime) -> int | None:
    return assert_type(context.fence, int | None)


def keys_and_their_store_are_typed() -> None:
    App("sqs://eu-west-1", store="postgresql://host/database?prefix=prod")
    App(store="none").configure(store="redis://host")
    assert_type(keyed.send(42, datetime.now(UTC)), Sent[int | None])
    app.task(unique_until="end")  # type: ignore[call-overload]  # success or start
    app.task(on_store_error="skip")  # type: ignore[call-overload]  # wait or run
    app.task(idempotency_ignore=3)  # type: ignore[call-overload]  # parameters by name
    App(store=None).configure(store=5)  # type: ignore[arg-type]  # a URL


async def async_sends() -> None:
    assert_type(await bare.asend(42), Sent[bool])
    assert_type(await cloudq.asend(bare, {"user_id": 42}), Sent)
    assert_type(await app.asend_many([with_options.call(42)]), list[Sent])
    await bare.asend("42")  # type: ignore[arg-type]  # an int is asked for


def results_are_what_the_task_returns() -> None:
    assert_type(bare.send(42).result(), bool)
    assert_type(named.options(delay=timedelta(hours=1)).send(42).result(timedelta(seconds=5)), str)
    assert_type(asynchronous.send(user_id=42).result(), int)
    assert_type(cloudq.send("shop.named", {"user_id": 42}).result(), Any)
    bare.send(42).result(5)  # type: ignore[arg-type]  # a bare number of what?
    stored: Sent = bare.send(42)  # strict mode takes it for one of anything
    assert_type(cloudq.result(stored.id), Result)


async def results_are_awaited() -> None:
    assert_type(await (await bare.asend(42)).aresult(), bool)
    assert_type(await (await asynchronous.asend(user_id=42)).aresult(timedelta(seconds=5)), int)
    assert_type(await cloudq.aresult("some id"), Result)


def options_are_known_and_typed() -> None:
    later = bare.options(delay=timedelta(hours=1), idempotency_key="a", headers={"tenant": "b"})
    assert_type(later.send(42), Sent[bool])
    later.send("42")  # type: ignore[arg-type]  # options keep the parameters
    bare.options(at=datetime.now(UTC), queue="other", ordering_key="a", fairness_key="b")
    bare.options(delay=60)  # type: ignore[arg-type]  # a bare number of what?
    bare.options(delays=timedelta(hours=1))  # type: ignore[call-arg]  # misspelt
    cloudq.send("shop.named", {"user_id": 42}, delay=60)  # type: ignore[arg-type]  # as above
    app.task(time_limits=timedelta(minutes=5))  # type: ignore[call-overload]  # misspelt


def sends_by_value() -> None:
    assert_type(cloudq.send(bare, {"user_id": 42}), Sent)
    assert_type(cloudq.send("elsewhere.task", {"user_id": 42}, queue="other"), Sent)
    assert_type(cloudq.send(bare.call(42)), Sent)
    assert_type(cloudq.send_many(bare.call(n) for n in range(3)), list[Sent])
    cloudq.send(42)  # type: ignore[arg-type]  # no task


async def what_was_sent_is_cancelled(sent: Sent) -> None:
    assert_type(sent.receipt, str | None)
    assert_type(cloudq.cancel(sent), bool)
    assert_type(app.cancel("cq1.abc"), bool)
    assert_type(await cloudq.acancel(sent), bool)
    assert_type(await app.acancel("cq1.abc"), bool)
    cloudq.cancel(7)  # type: ignore[arg-type]
    cloudq.cancel(sent.receipt)  # type: ignore[arg-type]  # there may be none


def what_failed_is_sent_again() -> None:
    try:
        cloudq.send_many([bare.call(1)])
    except cloudq.SendManyError as error:
        assert_type(error.results, list[Sent | Exception])
        assert_type(cloudq.send_many(error.failed), list[Sent])


def a_task_is_generic(task: Task[[int], str]) -> None:
    assert_type(task(42), str)
    task.send("42")  # type: ignore[arg-type]  # an int is asked for


def a_lambda_function_is_called_with_an_event_and_a_context() -> None:
    assert_type(handler(app, concurrency=2, report_failures=False), LambdaFunction)
    assert_type(handler(app)({"Records": []}, None), Answer)
    handler(app, concurrency="2")  # type: ignore[arg-type]
    handler(app)({"Records": []}, 30)  # type: ignore[arg-type]


def a_function_is_called_with_a_message_or_a_list(message: func.ServiceBusMessage) -> None:
    assert_type(function_handler(app, queue="orders", concurrency=2, auto_complete=False), MessageFunction)
    function_handler(app, queue="orders")(message)
    function_handler(app, queue="orders")([message])
    function_handler(app)  # type: ignore[call-arg]  # no message says its queue
    function_handler(app, queue="orders")("{}")  # type: ignore[arg-type]


def get_session() -> bytes:
    return b""


@app.task
def injected(user_id: int, session: Annotated[bytes, Depends(get_session)] = INJECTED) -> bool:
    return bool(user_id and session)


@app.task
def injected_by_default(context: Context, user_id: int, session: bytes = Depends(get_session)) -> bool:
    return bool(user_id and session)


def dependencies_may_be_left_out() -> None:
    assert_type(injected.send(42), Sent[bool])
    assert_type(injected(42, session=b"mine"), bool)
    assert_type(injected_by_default.send(user_id=42), Sent[bool])
    injected(42, session="mine")  # type: ignore[arg-type]  # of its own type, if it is given
    with app.overriding({get_session: lambda: b"fake"}) as same:
        assert_type(same, App)
