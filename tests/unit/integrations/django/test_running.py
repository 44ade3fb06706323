"""One of Django's tasks in a worker's hands: its context, its signals, and what is kept of it."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

import cloudq
from cloudq.core.details import worker_name
from cloudq.core.owed_notes import OWED, OwedNotes
from cloudq.testing import run_all
from tests.unit.integrations.django.conftest import Make


@pytest.mark.parametrize("name", ["told", "atold"])
@pytest.mark.parametrize("results", [False, True])
def test_a_context_tells_attempts_and_workers(make: Make, told: list[Any], name: str, results: bool) -> None:
    """Whether results are kept or not; a failed attempt that is tried again is not finished."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=results)
    id_ = getattr(tasks, name).enqueue().id
    assert ["Retried", "Acked"] == [type(run.outcome).__name__ for run in run_all(backend.app).runs]
    before = worker_name() if results else "unknown"  # without a store, nobody knows who ran it before
    assert [
        [1, id_, [worker_name()], "RUNNING"],
        [2, id_, [before, worker_name()], "RUNNING"],
    ] == tasks.ran
    assert ["enqueued", "started", "started", "finished"] == [what for what, _, _ in told]
    assert ("finished", name, "SUCCESSFUL") == told[-1]
    if results:
        result = backend.get_result(id_)
        assert (2, 2) == (result.return_value, result.attempts)
        [error] = result.errors
        assert (ValueError, True) == (error.exception_class, "not yet" in error.traceback)
        assert result.started_at < result.last_attempted_at < result.finished_at


@pytest.mark.parametrize("name", ["fails", "afails"])
def test_what_is_dead_lettered_has_failed(make: Make, told: list[Any], name: str) -> None:
    """Then, and not at each of its attempts."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    task = getattr(tasks, name)
    id_ = task.enqueue().id
    runs = run_all(backend.app).runs
    assert [("started", name, "RUNNING")] * len(runs) == told[1:-1]
    assert ("finished", name, "FAILED") == told[-1]
    result = backend.get_result(id_)
    assert ("FAILED", len(runs)) == (result.status, len(result.errors))
    assert {LookupError} == {error.exception_class for error in result.errors}
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_what_is_dead_lettered_without_results_has_failed_too(make: Make, told: list[Any]) -> None:
    """The signal has the last error, from the details of the dead letter."""
    from cloudq.integrations.django.contract import task_finished
    from tests.projects.django_site.reports import tasks

    heard: list[Any] = []

    def receive(*, task_result: Any, **_: object) -> None:
        heard.append(task_result)

    backend = make(tasks={"*": {"retry": cloudq.RetryPolicy(retry=lambda _: False)}})
    task_finished.connect(receive)
    try:
        tasks.fails.enqueue()
        run_all(backend.app)
    finally:
        task_finished.disconnect(receive)
    [result] = heard
    [error] = result.errors
    assert (LookupError, "FAILED", 1) == (error.exception_class, result.status, result.attempts)


def test_a_payload_of_another_shape_is_dead_lettered_and_has_failed(make: Make, told: list[Any]) -> None:
    """What somebody else sent under the task's name: it never ran."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    backend.app._connection.queue("default")
    from cloudq.core.message import Message

    message = Message(id="1", task=tasks.add.module_path, queue="default", payload={"args": {"a": 1}, "kwargs": []})
    backend.app.queue("default").send(message)
    [letter] = run_all(backend.app).dead_letters
    assert letter.failure is not None
    assert "payload" in letter.failure.reason
    assert ([], [("finished", "add", "FAILED")]) == (tasks.ran, told)
    assert ("FAILED", [], {}) == (
        backend.get_result("1").status,
        backend.get_result("1").args,
        backend.get_result("1").kwargs,
    )


def test_a_result_that_is_not_json_is_a_failure_that_is_not_tried_again(make: Make, told: list[Any]) -> None:
    """Where results are kept. The work is done: another attempt would do it twice."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    id_ = tasks.odd.enqueue().id
    [run] = run_all(backend.app).runs
    assert "DeadLettered" == type(run.outcome).__name__
    assert (["odd"], "FAILED") == (tasks.ran, backend.get_result(id_).status)
    assert ("finished", "odd", "FAILED") == told[-1]


@pytest.mark.parametrize("which", ["key", "half"])
def test_a_result_that_no_note_can_hold_is_a_failure_that_is_not_tried_again(make: Make, which: str) -> None:
    """Django's own normal form lets a key that is no text pass, and half of a surrogate pair."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    id_ = tasks.strange.enqueue(which).id
    [run] = run_all(backend.app).runs
    assert "DeadLettered" == type(run.outcome).__name__
    assert ([which], "FAILED") == (tasks.ran, backend.get_result(id_).status)


def test_without_results_nobody_looks_at_what_it_returns(make: Make, told: list[Any]) -> None:
    """So it may be anything."""
    from tests.projects.django_site.reports import tasks

    backend = make()
    tasks.odd.enqueue()
    [run] = run_all(backend.app).runs
    assert "Acked" == type(run.outcome).__name__
    assert ("finished", "odd", "SUCCESSFUL") == told[-1]


def test_asking_for_another_attempt_is_no_error(make: Make, told: list[Any]) -> None:
    """By `cloudq.Retry`: the next attempt has nothing to tell of the one before, but that there was one."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    id_ = tasks.asks.enqueue().id
    assert ["Retried", "Acked"] == [type(run.outcome).__name__ for run in run_all(backend.app).runs]
    result = backend.get_result(id_)
    assert ([], 2, "SUCCESSFUL") == (result.errors, result.attempts, result.status)


def test_a_secret_in_an_error_is_not_kept(make: Make) -> None:
    """What `redact` masks in dead letters, it masks in results."""
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    id_ = tasks.says.enqueue("password=geheim").id
    run_all(backend.app, delayed=False)
    [error] = backend.get_result(id_).errors
    assert "ValueError" in error.traceback
    assert "geheim" not in error.traceback


def test_a_receiver_that_fails_changes_nothing(make: Make) -> None:
    """A message that is stored is sent, and a task that ran has run, whoever listens."""
    from cloudq.integrations.django.contract import task_enqueued, task_finished, task_started
    from tests.projects.django_site.reports import tasks

    def receive(**_: object) -> None:
        raise RuntimeError("a receiver's own")

    backend = make()
    signals = (task_enqueued, task_started, task_finished)
    for signal in signals:
        signal.connect(receive)
    try:
        tasks.add.enqueue(1)
        [run] = run_all(backend.app).runs
    finally:
        for signal in signals:
            signal.disconnect(receive)
    assert "Acked" == type(run.outcome).__name__


def test_what_shows_a_task_shows_its_function(make: Make) -> None:
    """Its own place and words, not those of what calls it."""
    from tests.projects.django_site.reports import tasks

    backend = make()
    tasks.add.enqueue(1)
    task = backend.app.tasks[tasks.add.module_path]
    assert (tasks.__name__, "add", tasks.add.func.__doc__) == (task.__module__, task.__qualname__, task.__doc__)
    place = backend.app.runtime.handlers[task.name].place
    assert f"{tasks.__file__}:{tasks.add.func.__code__.co_firstlineno}" == place


@pytest.mark.parametrize("what", [None, "task_started", "task_finished"])
def test_a_project_that_listens_finds_what_it_is_told_of(make: Make, what: str | None) -> None:
    """In the store, for whoever it tells; where nobody listens, how it ended may wait for its acknowledgement."""
    from cloudq.integrations.django import contract
    from tests.projects.django_site.reports import tasks

    backend = make(results=True)
    id_ = tasks.add.enqueue(1).id
    found: list[str] = []

    def elsewhere() -> str:
        return contextvars.Context().run(lambda: str(backend.get_result(id_).status))

    def receive(**_: object) -> None:
        found.append(elsewhere())

    signal = contract.task_enqueued if what is None else getattr(contract, what)
    signal.connect(receive)
    owed = OwedNotes()
    owed.patient = True
    token = OWED.set(owed)
    try:
        run_all(backend.app)
    finally:
        OWED.reset(token)
        signal.disconnect(receive)
    assert {None: [], "task_started": ["RUNNING"], "task_finished": ["SUCCESSFUL"]}[what] == found
    assert {None: "READY", "task_started": "RUNNING", "task_finished": "SUCCESSFUL"}[what] == elsewhere()
    owed.pay()
    assert "SUCCESSFUL" == elsewhere()
