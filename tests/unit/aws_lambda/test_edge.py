"""The app as a Lambda function has it: opened at the first invocation, over SQS alone."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from pathlib import Path

import pytest

from cloudq import Context
from cloudq.aws_lambda import handler
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from tests.ledger import Ledger
from tests.unit.aws_lambda.fakes import SOON, Invocation, Mapping, fail, ids


def test_no_client_is_made_where_none_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the driver nor the SDK's client is opened for a batch that succeeds."""
    made = Mapping()
    with made.connected():
        made.app.send("t")
        event = made.receive()

    def refused(*_: object) -> None:
        raise AssertionError("a client is made")

    monkeypatch.setattr("cloudq.drivers.sqs.driver.open_client", refused)
    made.app.task("t")(lambda: None)
    assert {"batchItemFailures": []} == handler(made.app)(event, Invocation(made.clock))
    assert not made.app.is_open


def test_attempts_are_counted_by_the_service(mapping: Mapping) -> None:
    """The context has the receive count on top of the copies' attempts; raw is the record."""
    seen: list[Context] = []

    @mapping.app.task("t")
    def t(context: Context) -> None:
        seen.append(context)

    mapping.app.send("t")
    event = mapping.receive()
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "3"
    body = json.loads(event["Records"][0]["body"])
    event["Records"][0]["body"] = json.dumps(body | {"attemptbase": 2, "generation": 1})
    assert [] == mapping.invoke(handler(mapping.app), event)
    assert (5, 3, event["Records"][0]) == (seen[0].attempt, seen[0].deliveries, seen[0].raw)


def test_async_tasks_share_one_loop_over_invocations(mapping: Mapping) -> None:
    """What a task opened on its loop works in the next invocation, too."""
    loops = []

    @mapping.app.task("t")
    async def t() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)

    function = handler(mapping.app)
    for _ in range(2):
        mapping.app.send("t")
        mapping.app.send("t")
        assert [] == mapping.invoke(function, mapping.receive())
    assert 4 == len(loops)
    assert 1 == len(set(loops))


def test_a_task_that_ends_its_interpreter_is_a_failure(mapping: Mapping) -> None:
    """SystemExit ends neither the function nor the batch."""

    @mapping.app.task("exits", retry=SOON)
    def exits() -> None:
        raise SystemExit(1)

    mapping.app.task("t")(lambda: None)
    mapping.app.send("exits")
    mapping.app.send("t")
    event = mapping.receive()
    mapping.invoke(handler(mapping.app), event)
    assert 1 == len(mapping.messages("default")) + len(mapping.messages("default-dlq"))


def test_what_a_task_leaves_in_a_context_variable_is_its_own(mapping: Mapping) -> None:
    """The next task of the thread doesn't see it."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []

    @mapping.app.task("t")
    def t() -> None:
        seen.append(variable.get())
        variable.set("mine")

    mapping.app.send("t")
    mapping.app.send("t")
    mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["none", "none"] == seen


def test_the_apps_modules_are_imported_at_the_first_invocation(mapping: Mapping) -> None:
    """A module that can't be imported fails the whole batch: nothing of it is lost."""
    mapping.app.imports = ("there_is_no_such_module",)
    mapping.app.send("t")
    with pytest.raises(ConfigurationError, match="there_is_no_such_module"):
        mapping.invoke(handler(mapping.app), mapping.receive())
    assert 1 == len(mapping.messages("default"))


def test_another_driver_than_that_of_sqs_is_refused(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """An app that was lent one can't settle there; the records stay."""
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.send("t")
    event = mapping.receive()
    with mapping.app.using(MemoryDriver(clock=mapping.clock), clock=mapping.clock):
        assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert "lent a MemoryDriver" in caplog.text


def test_a_transaction_is_committed_once(mapping: Mapping, tmp_path: Path) -> None:
    """However often the service hands a record over."""
    ledger = Ledger(tmp_path)
    ledger.declare(mapping.app)
    mapping.app.send("book", {"n": 1})
    event = mapping.receive()
    function = handler(mapping.app)
    assert [[], []] == [mapping.invoke(function, event) for _ in range(2)]
    assert ["1"] == ledger.entries()


def test_tasks_run_within_the_invocations_context(mapping: Mapping) -> None:
    """Plain and async ones: what a tracer has put there, say, is the run's parent."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []

    @mapping.app.task("plain")
    def plain() -> None:
        seen.append(variable.get())
        variable.set("mine")

    @mapping.app.task("coroutine")
    async def coroutine() -> None:
        seen.append(variable.get())
        variable.set("mine")

    function = handler(mapping.app, concurrency=2)
    for number in range(2):
        variable.set(f"invocation {number}")
        for name in ("plain", "plain", "coroutine", "coroutine"):
            mapping.app.send(name)
        mapping.invoke(function, mapping.receive())
    assert ["invocation 0"] * 4 + ["invocation 1"] * 4 == seen
    variable.set("none")
