"""`strict_queues=True` at every edge: a message from a queue that its task doesn't name is a dead letter."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

import cloudq
from cloudq.aws_lambda import handler as lambda_handler
from cloudq.azure_functions import handler as functions_handler
from cloudq.core import wire
from cloudq.core.driver import Driver, Outgoing
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.push import PushEdge, PushSettings, handle
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.forgeries import reasons
from tests.unit.aws_lambda.fakes import Mapping
from tests.unit.azure_functions.fakes import Host
from tests.unit.push.fakes import push, pushed

PUBLIC = "public"


def declare(app: cloudq.App, ran: list[str], *, public: str = PUBLIC) -> None:
    """One task of the public queue and of the administration's, and one of the latter alone."""
    app.strict_queues = True
    app.task("note", queues=["admin", public])(lambda: ran.append("note"))
    app.task("drop", queue="admin")(lambda: ran.append("drop"))


def put(driver: Driver, queue: str) -> None:
    for task in ("drop", "note"):
        (result,) = driver.send([Outgoing(id=task, queue=queue, body=body(task, queue))])
        assert result.error is None


def body(task: str, queue: str) -> bytes:
    # What the body says of its queue isn't believed.
    return wire.encode(Message(id=task, task=task, queue="admin" if queue != "admin" else PUBLIC))


def assert_dropped(ran: list[str], found: list[str], *, public: str = PUBLIC) -> None:
    assert ["note"] == ran
    assert [f"not a task of this queue: 'drop' names 'admin', not {public!r}"] == found


def test_a_worker() -> None:
    """What its task names runs, from either queue."""
    ran: list[str] = []
    app = cloudq.App("memory://")
    declare(app, ran)
    driver = MemoryDriver()
    with app.using(driver):
        put(driver, PUBLIC)
        Worker(app, WorkerSettings(burst=True)).run()
        assert_dropped(ran, reasons(driver, PUBLIC))
        put(driver, "admin")
        Worker(app, WorkerSettings(burst=True, queues={"admin": 1})).run()
        assert ["drop", "note", "note"] == sorted(ran)


def test_the_push_edge() -> None:
    """By the queue that the service names, whatever the body says."""
    ran: list[str] = []
    with pushed() as (app, driver):
        declare(app, ran)
        edge = PushEdge(app, PushSettings(insecure_no_auth=True))
        for task in ("drop", "note"):
            headers, _ = push(task, id=task, queue=PUBLIC)
            sent = body(task, PUBLIC)
            assert 200 == handle(edge, {**headers, "content-length": str(len(sent))}, sent).status
        edge.close()
        assert_dropped(ran, reasons(driver, PUBLIC))


def test_an_aws_lambda_function() -> None:
    """By the queue of the event, without the URL's prefix."""
    ran: list[str] = []
    mapping = Mapping()
    declare(mapping.app, ran, public="default")
    with mapping.connected():
        put(mapping.app.driver(), "default")
        assert [] == mapping.invoke(lambda_handler(mapping.app), mapping.receive())
        kept = [letter["MessageAttributes"]["cloudq.dead"] for letter in mapping.messages("default-dlq")]
        found = [json.loads(failure["StringValue"])["reason"] for failure in kept]
        assert_dropped(ran, found, public="default")


def test_an_azure_function() -> None:
    """By the queue of the trigger."""
    ran: list[str] = []
    host = Host()
    declare(host.app, ran, public="orders")
    with host.connected():
        put(host.bus, "orders")
        assert host.invoke(functions_handler(host.app, queue="orders"))
        assert_dropped(ran, reasons(host.bus, "orders"), public="orders")


def test_edges_refuse_to_serve_a_queue_that_no_task_names() -> None:
    """All that is in it would be dead-lettered: told at the start, by each edge that is told which queues it serves."""
    app = cloudq.App("memory://")
    declare(app, [])
    with app.using(MemoryDriver()), pytest.raises(ConfigurationError, match="no task names queue 'pubilc'"):
        Worker(app, WorkerSettings(queues={"pubilc": 1}))
    with pushed() as (pushing, _):
        declare(pushing, [])
        edge = PushEdge(pushing, PushSettings(insecure_no_auth=True, queues=["pubilc"]))
        with pytest.raises(ConfigurationError, match="no task names queue 'pubilc'"):
            edge.open()
        edge.close()
    host = Host()
    declare(host.app, [])
    with host.connected():
        put(host.bus, "orders")
        assert not host.invoke(functions_handler(host.app, queue="orders"))
        assert isinstance(host.raised, ConfigurationError)
        assert "no task names queue 'orders'" in host.raised.message


def test_a_delayed_message_is_looked_at_when_it_comes() -> None:
    """Not only once it is due."""
    ran: list[str] = []
    app = cloudq.App("memory://")
    declare(app, ran)
    driver = MemoryDriver()
    with app.using(driver):
        later = Message(id="1", task="drop", queue=PUBLIC, not_before=app.clock.now() + timedelta(days=3))
        driver.send([Outgoing(id="1", queue=PUBLIC, body=wire.encode(later))])
        Worker(app, WorkerSettings(burst=True)).run()
        assert 1 == len(reasons(driver, PUBLIC))
