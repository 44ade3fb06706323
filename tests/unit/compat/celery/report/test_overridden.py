"""What a program overrides of Celery's classes."""

from __future__ import annotations

import celery

from cloudq.compat.celery.report.overridden import of_a_task, of_the_app


class Shop(celery.Celery):
    """A program's own."""

    def send_task(self, *args, **kwargs):
        return super().send_task(*args, **kwargs)

    def _get_backend(self):
        return None

    def init_app(self, app): ...


class Base(celery.Task):
    """A base of its own."""

    def on_failure(self, *args): ...

    def apply_async(self, *args, **kwargs):
        return super().apply_async(*args, **kwargs)

    def update_state(self, *args, **kwargs): ...

    def _get_exec_options(self): ...

    def helper(self): ...


def job(): ...


def test_a_method_that_nobody_calls_is_found() -> None:
    """What there is in its place is called as by Celery; what Celery hasn't is the program's own."""
    app = Shop("proj", set_as_current=False)
    assert {("app", "Shop._get_backend", "REFUSED")} == {(f.kind, f.name, f.verdict.name) for f in of_the_app(app)}
    assert [] == list(of_the_app(celery.Celery("plain", set_as_current=False)))


def test_a_method_of_a_base_that_nobody_calls_is_found() -> None:
    """With the base, and not with each of its tasks."""
    app = celery.Celery("proj", set_as_current=False, task_cls=Base)
    app.task(name="t")(job)
    app.finalize()
    found = list(of_a_task(app.tasks["t"]))
    assert {("task", "Base.update_state"), ("task", "Base._get_exec_options")} == {(f.kind, f.name) for f in found}
    assert {(f"{__name__}.Base",)} == {f.places for f in found}
    plain = celery.Celery("plain", set_as_current=False)
    plain.task(name="t")(job)
    plain.finalize()
    assert [] == list(of_a_task(plain.tasks["t"]))
