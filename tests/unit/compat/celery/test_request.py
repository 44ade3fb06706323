"""What a task sees of its run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.compat.celery import current_task
from cloudq.compat.celery.request import PARENT, RETRIES, ROOT, Request, current_request
from cloudq.core.outcome import ending_of
from cloudq.testing import run_all, sent


def test_a_run_is_known_by_celerys_fields(app, open_app) -> None:
    """The arguments by name, the queue as the routing key, times as texts."""
    seen = []

    @app.task(bind=True, name="shop.t", queue="mail", soft_time_limit=30)
    def task(self, a, b=2):
        seen.append(self.request)

    ours, _ = open_app(app)
    result = task.apply_async((1,), {"b": 3}, countdown=60, expires=600, headers={"tenant": "a"})
    run_all(ours)
    (request,) = seen
    assert (result.id, "shop.t", 0, {"a": 1, "b": 3}) == (request.id, request.task, request.retries, request.kwargs)
    assert ("mail", False) == (request.delivery_info["routing_key"], request.delivery_info["redelivered"])
    assert ({"tenant": "a"}, False, False) == (request.headers, request.is_eager, request.called_directly)
    assert (None, 30) == request.timelimit
    assert request.eta < request.expires
    assert (result.id, None) == (request.root_id, request.get("parent_id"))


def test_what_a_task_sends_knows_its_parent(app, open_app) -> None:
    """And the first of them all."""
    seen = {}

    @app.task(bind=True, name="t")
    def task(self, n):
        seen[n] = self.request
        if n < 3:
            task.delay(n + 1)

    ours, _ = open_app(app)
    first = task.delay(1).id
    run_all(ours)
    assert [None, first, seen[2].id] == [seen[n].parent_id for n in (1, 2, 3)]
    assert {first} == {request.root_id for request in seen.values()}
    assert None is seen[3].headers


def test_retries_begin_with_what_the_call_says(app, open_app) -> None:
    """As for a message that was moved."""
    seen = []

    @app.task(bind=True, name="t", max_retries=3)
    def task(self):
        seen.append(self.request.retries)
        raise self.retry(countdown=1)

    ours, _ = open_app(app)
    task.apply_async(retries=2)
    run_all(ours)
    assert [2, 3] == seen


@pytest.mark.parametrize("text", ["-1", "x", "9" * 30, "²"])
def test_a_header_that_is_no_count_is_none(app, open_app, text) -> None:
    """Another producer may write anything."""
    seen = []

    @app.task(bind=True, name="t")
    def task(self):
        seen.append(self.request.retries)

    ours, _ = open_app(app)
    ours.send("t", headers={RETRIES: text})
    run_all(ours)
    assert [0] == seen


def test_outside_of_a_run_it_is_that_of_a_direct_call(app) -> None:
    """And within one it has the arguments."""

    @app.task(bind=True, name="t")
    def task(self, a):
        return self.request.called_directly, self.request.args, current_request()

    assert task.request.called_directly
    assert (True, (1,), None) == task(1)
    assert "<Request: t[7]>" == repr(Request(task="t", id="7"))


def test_the_task_that_runs_is_known(app, open_app) -> None:
    """As `current_task`, which is nothing elsewhere."""
    seen = []

    @app.task(name="t")
    def task():
        seen.append((bool(current_task), current_task.name, app.current_task is task))

    ours, _ = open_app(app)
    task.delay()
    run_all(ours)
    assert [(True, "t", True)] == seen
    assert not current_task
    assert None is app.current_task


def test_a_call_from_outside_has_no_lineage(app, open_app) -> None:
    """No header of ours travels unless it says something."""
    task = app.task(name="t")(lambda: None)
    ours, _ = open_app(app)
    task.apply_async(countdown=timedelta(minutes=1))
    (message,) = sent(ours)
    assert not {PARENT, ROOT, RETRIES} & set(message.headers)


def test_a_header_is_a_field_of_the_request(app, open_app) -> None:
    """As Celery has it; what the request has itself goes before."""
    seen = []

    @app.task(bind=True, name="t")
    def task(self):
        seen.append((self.request.tenant, self.request.get("tenant"), self.request.retries, self.request.headers))

    ours, _ = open_app(app)
    headers = {"tenant": "a", "retries": "9", "get": "x", "self": "y"}
    task.apply_async(headers=headers)
    run_all(ours)
    assert [("a", "a", 0, headers)] == seen


@pytest.mark.parametrize(("group", "ending"), [("7", "retried"), (None, "retried"), ("8", "dead_lettered")])
def test_a_retry_keeps_the_group_of_its_message(app, open_app, group, ending) -> None:
    """Programs hand it on, as kombu would lose it; another one is refused."""
    seen = []

    @app.task(bind=True, name="t")
    def task(self):
        seen.append(self.request.properties)
        raise self.retry(MessageGroupId=group)

    ours, _ = open_app(app)
    sent = task.apply_async(MessageGroupId="7")
    first, *_ = run_all(ours).runs
    assert ending == ending_of(first.outcome).value
    assert {"correlation_id": sent.id, "MessageGroupId": "7"} == seen[0]
