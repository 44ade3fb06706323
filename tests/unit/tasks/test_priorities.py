"""Priorities are queues: what a declaration says, where messages go, and in which order a worker takes of them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudq import App, OptionError, TaskDefinitionError
from cloudq.testing import in_memory, run_all, sent

THREE = {"high": "mail-high", "normal": "mail", "low": "mail-low"}


@pytest.fixture
def app() -> Any:
    with in_memory(App()) as app:
        yield app


def test_a_message_goes_to_the_queue_of_its_priority(app: App) -> None:
    """By a send of the task, of its name, of a call; without one to that of "normal"."""

    @app.task("mail", priorities=THREE)
    def mail() -> None: ...

    mail.send()
    mail.options(priority="high").send()
    app.send("mail", {}, priority="low")
    app.send(mail.options(priority="high").call(), priority="low")
    app.send_many([mail.options(priority="high").call()])
    assert ["mail", "mail-high", "mail-low", "mail-low", "mail-high"] == [message.queue for message in sent(app)]
    assert 5 == len(run_all(app).runs)


def test_a_declaration_may_have_another_default(app: App) -> None:
    """For its messages that say nothing."""
    app.task("mail", priorities=THREE, priority="low")(lambda: None).send()
    app.task("sms", priorities={"now": "sms-now", "later": "sms"}, priority="later")(lambda: None).send()
    assert ["mail-low", "sms"] == [message.queue for message in sent(app)]


def test_a_queue_that_is_one_of_them_may_be_named(app: App) -> None:
    """A message of another program's needn't know the names."""
    app.task("mail", priorities=THREE)(lambda: None).options(queue="mail-low").send()
    assert ["mail-low"] == [message.queue for message in sent(app)]


def test_a_worker_takes_twice_as_often_of_each_as_of_the_next(app: App) -> None:
    """The most urgent queues first, also for `--strict`; what has no priorities weighs 1."""
    app.task("plain", queue="reports")(lambda: None)
    app.task("mail", priorities=THREE, aliases=["post"])(lambda: None)
    app.task("sms", priorities={"high": "mail-high", "normal": "sms"})(lambda: None)
    weights = app.runtime.declared_weights()
    assert {"mail-high": 4, "mail": 2, "reports": 1, "mail-low": 1, "sms": 1} == weights
    assert ["mail-high", "mail", "reports", "mail-low", "sms"] == list(weights)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"priorities": ["high", "low"]}, "are 2 to 10 queues by names"),
        ({"priorities": {"normal": "mail"}}, "are 2 to 10 queues by names"),
        ({"priorities": {"": "mail", "normal": "b"}}, "are 2 to 10 queues by names"),
        ({"priorities": {str(number): f"q{number}" for number in range(11)}}, "are 2 to 10 queues by names"),
        ({"priorities": {"high": "mail", "normal": "mail"}}, "name a queue twice"),
        ({"priorities": {"high": "a", "low": "b"}}, "no priority 'normal' for messages that say nothing"),
        ({"priorities": THREE, "priority": "urgent"}, "no priority 'urgent' for messages that say nothing"),
        ({"priorities": THREE, "queue": "mail"}, "exclude each other"),
        ({"priorities": THREE, "queues": ["mail"]}, "exclude each other"),
        ({"priority": "high"}, "says nothing without priorities"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(app: App, options: dict[str, Any], why: str) -> None:
    """When it is made."""
    with pytest.raises(TaskDefinitionError, match=why):
        app.task("mail", **options)(lambda: None)


def test_a_queue_has_to_be_one(app: App) -> None:
    """As in any other place."""
    with pytest.raises(OptionError, match="dead-letter queue"):
        app.task("mail", priorities={"high": "mail-dlq", "normal": "mail"})(lambda: None)


def test_a_priority_that_is_not_declared_is_refused(app: App) -> None:
    """With the nearest name; and where nothing is known of them."""
    mail = app.task("mail", priorities=THREE)(lambda: None)
    plain = app.task("plain")(lambda: None)
    with pytest.raises(OptionError, match="has no priority 'hihg': did you mean 'high'"):
        mail.options(priority="hihg").send()
    with pytest.raises(OptionError, match="'plain' declares no priorities"):
        plain.options(priority="high").send()
    with pytest.raises(OptionError, match="'elsewhere' isn't declared here"):
        app.send("elsewhere", priority="high")
    assert [] == sent(app)
