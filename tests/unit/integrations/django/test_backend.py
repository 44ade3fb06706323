"""`CloudqBackend`, over Django's own tasks or their backport."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import cloudq
from cloudq.errors import PayloadError
from cloudq.testing import in_memory, run_all
from tests.projects.django_site.reports.names import NAMES
from tests.unit.integrations.django.conftest import Make

PARIS = ZoneInfo("Europe/Paris")
ARGUMENTS = [
    ([1, 2.5, "é", None, True], [1, 2.5, "é", None, True]),
    ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}),
    ((1, (2,)), [1, [2]]),
    (b"bytes", "bytes"),
    ("1", "1"),
    (1.0, 1.0),
]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_is_run_under_its_own_name(make: Make, told: list[Any], is_async: bool) -> None:
    """By the worker's own code: what it was called with, its signals; enqueued sync and async."""
    from tests.projects.django_site.reports import tasks

    backend = make()
    task = tasks.aadd if is_async else tasks.add
    result = asyncio.run(task.aenqueue(1, b="2")) if is_async else task.enqueue(1, b="2")
    assert ("READY", [1], {"b": "2"}, 0) == (result.status, result.args, result.kwargs, result.attempts)
    [run] = run_all(backend.app).runs
    assert (run.task, [[1, "2"]]) == (task.module_path, tasks.ran)
    assert run.message is not None
    assert run.message.id == result.id
    assert [
        ("enqueued", task.name, "READY"),
        ("started", task.name, "RUNNING"),
        ("finished", task.name, "SUCCESSFUL"),
    ] == told


@pytest.mark.parametrize(("given", "arrives"), ARGUMENTS)
def test_arguments_arrive_in_djangos_normal_form(make: Make, given: object, arrives: object) -> None:
    """No parameter's annotation converts them: a text of digits stays one."""
    from tests.projects.django_site.reports import tasks

    backend = make()
    tasks.add.enqueue(given, b=given)
    run_all(backend.app)
    [[a, b]] = tasks.ran
    assert (arrives, arrives) == (a, b)
    assert (type(arrives), type(arrives)) == (type(a), type(b))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), TypeError),
        ({1: "a"}, TypeError),
        (float("nan"), PayloadError),
        ([{"a": float("inf")}], PayloadError),
        (b"\xff", ValueError),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(make: Make, given: object, error: type[Exception]) -> None:
    """Before anything is stored."""
    from tests.projects.django_site.reports import tasks

    backend = make()
    with pytest.raises(error):
        tasks.add.enqueue(given)
    assert 0 == len(run_all(backend.app).runs)


def test_run_after_is_when_it_runs(make: Make) -> None:
    """With the project's time zone where it has none of its own."""
    from django.test import override_settings

    from tests.projects.django_site.reports import tasks

    backend = make()
    now = backend.app.clock.now()
    tasks.add.using(run_after=now + timedelta(hours=1)).enqueue(1)
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Paris"):
        tasks.add.using(run_after=datetime.combine(now + timedelta(days=9), time(12, 0))).enqueue(2)
    assert not run_all(backend.app, delayed=False).runs
    messages = [run.message.not_before for run in run_all(backend.app).runs if run.message]
    assert [now + timedelta(hours=1), datetime.combine(now + timedelta(days=9), time(12, 0), PARIS)] == messages


def test_an_enqueue_is_not_held_back(django_site: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's contract: it is stored when it returns, whatever becomes of the transaction, which holds other sends."""
    from django.db import transaction
    from django.test import override_settings

    from cloudq.default_app import default
    from cloudq.integrations.django.atomic import open_here
    from cloudq.integrations.django.contract import task_backends
    from tests.projects.django_site.reports import tasks

    monkeypatch.setattr(default.runtime, "open_transaction", open_here)

    def rolled_back() -> None:
        with transaction.atomic():
            assert not default.send("own", {}).stored
            tasks.add.enqueue(1)
            task_backends["default"].enqueue_many([(tasks.add, [2], {}), (tasks.add, [3], {})])
            assert 3 == default.queue("default").stats().ready
            raise LookupError

    with (
        override_settings(TASKS={"default": {"BACKEND": "cloudq.integrations.django.CloudqBackend"}}),
        in_memory(default),
    ):
        with pytest.raises(LookupError):
            rolled_back()
        assert 3 == len(run_all(default).runs)


def test_priorities_are_queues(make: Make) -> None:
    """By the least priority of each; a worker takes twice as often from each as from the next."""
    from tests.projects.django_site.reports import tasks

    backend = make(priorities={"-high": 10, "": 0, "-low": -100}, queues=["default", "mail"])
    assert backend.supports_priority
    for priority in (100, 10, 9, 0, -1, -100):
        tasks.add.using(priority=priority, queue_name="mail").enqueue(priority)
    assert {"mail-high": 2, "mail": 2, "mail-low": 2} == {
        name: backend.app.queue(name).stats().ready for name in ("mail-high", "mail", "mail-low")
    }
    weights = {"default-high": 4, "mail-high": 4, "default": 2, "mail": 2, "default-low": 1, "mail-low": 1}
    assert weights == backend.app.runtime.declared_weights()
    run_all(backend.app)
    assert [-100, -1, 0, 9, 10, 100] == sorted(a for a, _ in tasks.ran)


def test_without_priorities_django_refuses_one(make: Make) -> None:
    """So says the back end what it can."""
    from cloudq.integrations.django.contract import InvalidTask
    from tests.projects.django_site.reports import tasks

    backend = make()
    assert not backend.supports_priority
    with pytest.raises(InvalidTask, match="priority"):
        tasks.add.using(priority=1)


def test_any_queue_where_the_settings_name_none(make: Make) -> None:
    """As Django has it: an empty list of queues allows every name."""
    from tests.projects.django_site.reports import tasks

    backend = make(queues=[])
    tasks.add.using(queue_name="else").enqueue(1)
    tasks.add.using(queue_name="else").enqueue(2)
    assert 2 == backend.app.queue("else").stats().ready


def test_a_queue_that_no_worker_takes_from_by_itself(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Where any queue is taken, the first message for one that no task declares says so."""
    from tests.projects.django_site.reports import tasks

    backend = make(queues=[])
    assert [] == list(backend.check())  # as Django's own tests have it
    for name in ("default", "else", "else"):
        tasks.add.using(queue_name=name).enqueue(1)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "cloudq.django"]
    assert said.endswith("a worker takes from it only where it is asked to, by --queue else")


def test_many_at_once(make: Make, told: list[Any]) -> None:
    """In order; one that is refused stores none."""
    from cloudq.integrations.django.contract import InvalidTask
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    results = backend.enqueue_many([(tasks.add, [n], {}) for n in range(12)])
    assert [[n] for n in range(12)] == [result.args for result in results]
    assert 12 == len({result.id for result in results}) == len(told)
    with pytest.raises(InvalidTask):
        backend.enqueue_many(
            [(tasks.add, [1], {}), (tasks.add.using(queue_name="default"), [2], {}), (OUTSIDE(), [], {})]
        )
    assert 12 == len(run_all(backend.app).runs)
    assert ["SUCCESSFUL"] * 12 == [backend.get_result(result.id).status for result in results]


def OUTSIDE() -> Any:  # noqa: N802 - as a constant, which can't be made before Django is set up
    """A task of a module that is in no installed app."""
    from cloudq.integrations.django.contract import Task

    return Task(func=outside)


def outside() -> None: ...


def test_a_task_that_no_worker_would_find_is_refused(make: Make) -> None:
    """At its send, in place of a message that nobody can run. A list of modules allows more."""
    from cloudq.integrations.django.contract import InvalidTask, Task

    make()
    with pytest.raises(InvalidTask, match="no worker would find"):
        OUTSIDE().enqueue()
    with pytest.raises(InvalidTask, match="within a class"):
        Task(func=Within.method)


class Within:
    """Has a function that Django takes for one of a module."""

    @staticmethod
    def method() -> None: ...


def test_options_of_a_task(make: Make) -> None:
    """Lease, retries and time limit, over those that all have."""
    backend = make(
        tasks={
            "*": {"lease": timedelta(minutes=3), "time_limit": timedelta(minutes=2)},
            NAMES.add: {"time_limit": timedelta(seconds=7), "retry": cloudq.RetryPolicy(max_deliveries=40)},
        }
    )
    add, fails = (backend.app.runtime.handlers[name] for name in (NAMES.add, NAMES.fails))
    assert (timedelta(minutes=3), timedelta(seconds=7), 40) == (
        add.lease,
        add.time_limit,
        add.retry_policy.max_deliveries,
    )
    assert (timedelta(minutes=3), timedelta(minutes=2)) == (fails.lease, fails.time_limit)


def test_check_names_what_is_wrong(make: Make) -> None:
    """Each with what to do; a right one has nothing to say."""
    assert [] == list(make(results=True, tasks={NAMES.add: {}, "*": {}}).check())
    wrong = make(tasks={"no.such.task": {}, NAMES.not_a_task: {}, NAMES.add: {"lease": 5}})
    assert ["cloudq.E103", "cloudq.E103", "cloudq.E104"] == [error.id for error in wrong.check()]
    from cloudq.integrations.django import CloudqBackend

    storeless = CloudqBackend("checked", {"OPTIONS": {"url": "sqs://eu-west-1", "results": True}})
    assert ["cloudq.E101"] == [error.id for error in storeless.check()]
    nowhere = CloudqBackend("checked", {"OPTIONS": {"url": "nothing://x", "results": True}})
    assert ["cloudq.E102"] == [error.id for error in nowhere.check()]


def test_a_result_that_is_not_kept(make: Make) -> None:
    """Django's own error: this back end keeps none."""
    backend = make()
    assert not backend.supports_get_result
    with pytest.raises(NotImplementedError):
        backend.get_result("1")


def test_a_result_of_a_task_that_is_gone_or_never_was(make: Make) -> None:
    """Django's own error for both."""
    from cloudq.integrations.django.contract import TaskResultDoesNotExist
    from cloudq.integrations.django.results import Kept

    backend = make(results=True)
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result("1")
    backend._place.results.add([("2", Kept(task="gone.tasks.add", queue="default", backend="default"), timedelta(0))])
    with pytest.raises(TaskResultDoesNotExist):
        asyncio.run(backend.aget_result("2"))


def test_results_are_what_was_enqueued(make: Make) -> None:
    """Equal to what enqueue gave, until it has run; refreshed in sync and async code."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=timedelta(days=60), priorities={"": -100})
    at = backend.app.clock.now() + timedelta(days=30)
    sent = [
        tasks.add.enqueue(1, b=2),
        tasks.add.using(priority=5, run_after=at).enqueue(3),
        asyncio.run(tasks.aadd.aenqueue({"a": [None]})),
    ]
    assert sent == [backend.get_result(result.id) for result in sent]
    run_all(backend.app)
    sent[0].refresh()
    asyncio.run(sent[2].arefresh())
    assert ([1, 2], [{"a": [None]}, None]) == (sent[0].return_value, sent[2].return_value)
    assert (1, 1) == (sent[0].attempts, len(sent[0].worker_ids))
    assert sent[0].enqueued_at <= sent[0].started_at <= sent[0].finished_at
    assert sent[0].task == tasks.add
    assert [2] == [tasks.add.get_result(sent[0].id).kwargs["b"]]
