"""Which app is current."""

from __future__ import annotations

from cloudq.compat.celery import Celery, signature
from cloudq.compat.celery.current import current


def test_the_app_that_was_made_last_is_current() -> None:
    """Unless it isn't to be; without one there is one without settings, as with Celery."""
    assert "default" == current().main
    first = Celery("first")
    Celery("second", set_as_current=False)
    assert first is current()
    third = Celery("third")
    first.set_current()
    assert first is current() is not third


def test_a_signature_is_of_the_current_app() -> None:
    """By a task's name."""
    app = Celery("proj", broker="memory://", task_always_eager=True)
    app.task(name="t")(lambda a, b: a + b)
    assert 3 == signature("t", (1,), {"b": 2}).delay().get()
