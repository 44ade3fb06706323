"""From a call to a message: what `send` accepts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq import App
from cloudq.errors import OptionError, PayloadError
from cloudq.tasks.composing import NO_PAYLOAD, checked_calls, composed
from cloudq.tasks.options import SendOptions


@pytest.fixture
def app() -> App:
    app = App("memory://", default_queue="elsewhere")

    @app.task("pay", queue="orders", time_limit=timedelta(minutes=1))
    def pay(amount: int) -> None: ...

    return app


def compose(app: App, task: object, payload: object = NO_PAYLOAD, **options: object) -> object:
    given: SendOptions = options  # type: ignore[assignment]  # the tests pass its own
    return composed(app, app.runtime.handlers, task, payload, given)  # type: ignore[arg-type]  # wrong ones, too


def test_a_task_its_name_and_its_call_make_the_same_message(app: App) -> None:
    """But for the id."""
    task = app.tasks["pay"]
    made = [compose(app, task, {"amount": 1}), compose(app, "pay", {"amount": 1}), compose(app, task.call(amount=1))]
    assert {("pay", "orders", timedelta(minutes=1), 1)} == {
        (message.task, message.queue, message.time_limit, message.payload["amount"]) for message in made
    }
    assert 3 == len({message.id for message in made})


def test_a_task_of_another_program_goes_to_the_default_queue(app: App) -> None:
    """Its payload can't be checked here, but for being JSON."""
    message = compose(app, "unknown", {"any": "thing"})
    assert ("unknown", "elsewhere", {"any": "thing"}) == (message.task, message.queue, message.payload)
    with pytest.raises(PayloadError):
        compose(app, "unknown", {"any": object()})
    with pytest.raises(OptionError, match="no name of a task"):
        compose(app, "")


def test_what_is_no_task_is_refused(app: App) -> None:
    """Another app's too, and a call with a second payload."""
    with pytest.raises(OptionError, match="is no task"):
        compose(app, 7)
    with pytest.raises(OptionError, match="belongs to another App"):
        compose(App("memory://"), app.tasks["pay"], {"amount": 1})
    with pytest.raises(PayloadError, match="has its payload already"):
        compose(app, app.tasks["pay"].call(amount=1), {"amount": 2})


def test_send_many_takes_calls_alone(app: App) -> None:
    """Of any iterable, all looked at before anything is sent."""
    call = app.tasks["pay"].call(amount=1)
    assert [call, call] == checked_calls(iter([call, call]))
    with pytest.raises(OptionError, match="send_many takes calls, not 7"):
        checked_calls([call, 7])
