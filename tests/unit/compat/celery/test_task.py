"""A task in Celery's words."""

from __future__ import annotations

import pytest

from cloudq.compat.celery import Celery, Task
from cloudq.compat.celery.exceptions import MaxRetriesExceededError, Retry
from cloudq.errors import OptionError, PayloadError
from cloudq.testing import run_all, sent


def test_a_call_goes_where_it_is_sent(app, open_app) -> None:
    """To the task's queue, its route's, or the call's own: any name, as with Celery."""
    app.conf.task_routes = {"mail.*": "mail"}
    plain = app.task(name="t")(lambda: None)
    routed = app.task(name="mail.t")(lambda: None)
    ours, _ = open_app(app)
    plain.delay()
    routed.delay()
    plain.apply_async(queue="elsewhere")
    assert ["celery", "mail", "elsewhere"] == [message.queue for message in sent(ours)]


def test_a_priority_is_a_queue(open_app) -> None:
    """That the setting names."""
    app = Celery("proj", broker="memory://", cloudq_priorities={9: "urgent", 5: "celery"}, task_default_priority=5)
    task = app.task(name="t")(lambda: None)
    ours, _ = open_app(app)
    task.delay()
    task.apply_async(priority=9)
    assert ["celery", "urgent"] == [message.queue for message in sent(ours)]
    with pytest.raises(OptionError, match="no priority '3'"):
        task.apply_async(priority=3)


def test_a_tasks_own_expiry_is_each_calls(app, open_app) -> None:
    """From its send, unless the call has one of its own."""
    from datetime import timedelta

    task = app.task(name="t", expires=60)(lambda: None)
    ours, clock = open_app(app)
    task.delay()
    task.apply_async(expires=5)
    assert [clock.now() + timedelta(seconds=s) for s in (60, 5)] == [message.expires_at for message in sent(ours)]


@pytest.mark.parametrize("call", [((), {}), ((1, 2), {}), ((1,), {"a": 1}), ((), {"b": 1})])
def test_arguments_that_dont_fit_are_refused_at_the_send(app, open_app, call) -> None:
    """As with Celery's `typing`."""
    task = app.task(name="t")(lambda a: None)
    open_app(app)
    args, kwargs = call
    with pytest.raises(PayloadError):
        task.apply_async(args, kwargs)


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_eager_app_runs_what_it_is_sent(app) -> None:
    """Options are checked all the same."""
    app.conf.task_always_eager = True
    task = app.task(name="t")(lambda a: a + 1)
    assert 3 == task.delay(2).get()
    assert 3 == task.apply_async((2,), countdown=60, queue="q").get()
    with pytest.raises(OptionError, match="'link' can't be honoured"):
        task.apply_async((2,), link="t")
    with pytest.raises(PayloadError):
        task.delay()


def test_an_eager_retry_runs_again_at_once(app) -> None:
    """Until it is enough; where failures are raised the retry is, as by Celery."""
    seen = []

    @app.task(bind=True, name="t", max_retries=2)
    def task(self):
        seen.append((self.request.retries, self.request.is_eager))
        raise self.retry()

    result = task.apply()
    assert [(0, True), (1, True), (2, True)] == seen
    assert (True, 2) == (result.failed(), result.retries)
    assert isinstance(result.result, MaxRetriesExceededError)
    with pytest.raises(Retry):
        task.apply(throw=True)


# ── retry ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"args": (1,)}, "'args'"),
        ({"kwargs": {}}, "'kwargs'"),
        ({"throw": False}, "'throw'"),
        ({"queue": "q"}, "'queue'"),
        ({"routing_key": "k"}, "'routing_key'"),
    ],
)
def test_a_retry_refuses_by_name(app, options, what) -> None:
    """The message stays as it was sent."""

    @app.task(bind=True, name="t")
    def task(self):
        raise self.retry(**options)

    with pytest.raises(OptionError, match=f"t.retry: Celery's option {what} can't be honoured"):
        task.apply(throw=True)


def test_a_direct_call_raises_what_went_wrong(app) -> None:
    """There is no message to try again."""

    @app.task(bind=True, name="t")
    def task(self, error=None):
        raise self.retry(exc=error)

    with pytest.raises(KeyError):
        task(KeyError())
    with pytest.raises(Retry):
        task()


def test_a_retry_has_a_number_of_its_own(app, open_app) -> None:
    """In the place of the declaration's, as far as its messages live."""
    seen = []

    @app.task(bind=True, name="t", max_retries=0)
    def task(self, most):
        seen.append(self.request.retries)
        raise self.retry(max_retries=most, countdown=0)

    ours, _ = open_app(app)
    task.delay(2)
    run_all(ours)
    assert [0, 1, 2] == seen
    with pytest.raises(OptionError, match="max_retries=500 is more than"):
        task.apply((500,), throw=True)


# ── all the rest ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_class_is_a_task_too(app, open_app) -> None:
    """With a `run` of its own."""
    seen = []

    class Greet(Task):
        name = "greet"
        queue = "mail"

        def run(self, whom):
            seen.append((self.name, whom, self.request.called_directly))

    task = app.register_task(Greet())
    ours, _ = open_app(app)
    task.delay("ann")
    task("bob")
    run_all(ours)
    assert [("greet", "bob", True), ("greet", "ann", False)] == seen


def test_a_base_with_a_call_of_its_own_goes_around_each_run(app, open_app) -> None:
    """As in Flask's documentation: in a worker, at once and directly; whether it calls `run` or the base's."""
    seen = []

    class InContext(Task):
        def __call__(self, *args, **kwargs):
            seen.append("in")
            return self.run(*args, **kwargs)

    class BySuper(Task):
        def __call__(self, *args, **kwargs):
            seen.append("in")
            return super().__call__(*args, **kwargs)

    app.Task = InContext

    @app.task(bind=True, name="t")
    def task(self, n):
        seen.append((n, self.request.retries, self.request.called_directly))
        if not self.request.retries and n == 1:
            raise self.retry(countdown=0)

    @app.task(bind=True, name="u", base=BySuper)
    def other(self, n):
        seen.append((n, self.request.id is not None, self.request.called_directly))

    ours, _ = open_app(app)
    task.delay(1)
    other.delay(2)
    run_all(ours)
    assert {(1, 0, False), (1, 1, False), (2, True, False)} == set(seen) - {"in"}
    assert ["in"] * 3 == seen[::2]
    seen.clear()
    task.apply((5,))
    other(6)
    assert ["in", (5, 0, False), "in", (6, False, True)] == seen


def test_a_direct_call_within_a_run_is_one(app) -> None:
    """Though a `__call__` of the task's own leads to both."""
    seen = []

    class BySuper(Task):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    @app.task(bind=True, name="t", base=BySuper)
    def task(self, n):
        seen.append((n, self.request.called_directly))
        if n:
            self(n - 1)

    task.apply((1,))
    assert [(1, False), (0, True)] == seen


def test_a_test_may_push_a_request(app) -> None:
    """And call `run`, as with Celery."""

    @app.task(bind=True, name="t")
    def task(self):
        return self.request.retries

    task.push_request(retries=3)
    assert 3 == task.run()
    task.pop_request()
    assert 0 == task.run()
    task.pop_request()


def test_arguments_are_a_list(app) -> None:
    """A text would be taken for its letters."""
    task = app.task(name="t")(lambda a, b: None)
    with pytest.raises(TypeError, match="a list or a tuple, not str"):
        task.apply_async("ab")


def test_a_task_looks_like_its_function(app) -> None:
    """To what asks a callable for its name."""

    @app.task
    def greet():
        """Greets."""

    assert ("greet", "Greets.", __name__) == (greet.__name__, greet.__doc__, greet.__module__)
    assert f"<@task: {__name__}.greet>" == repr(greet)
    assert None is greet.__wrapped__()


def test_a_send_after_djangos_commit(app, open_app, django_site, monkeypatch) -> None:
    """By Django's own hook."""
    from django.db import transaction

    later = []
    monkeypatch.setattr(transaction, "on_commit", later.append)
    task = app.task(name="t")(lambda a: None)
    ours, _ = open_app(app)
    task.delay_on_commit(1)
    task.apply_async_on_commit((2,), countdown=0)
    assert [] == sent(ours)
    for send in later:
        send()
    assert [{"a": 1}, {"a": 2}] == [message.payload for message in sent(ours)]
