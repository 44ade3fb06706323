"""Which task from which queue."""

from __future__ import annotations

import asyncio

import pytest

import cloudq
from cloudq import App
from cloudq.core import wire
from cloudq.core.driver import Outgoing
from cloudq.core.message import Message
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.testing import in_memory, run_all, sent


@pytest.fixture
def app():
    with in_memory(App()) as app:
        yield app


def put(app, task, queue):
    """Stores a message as a foreign producer would, who asks nobody."""
    body = wire.encode(Message(id=f"{task}-{queue}", task=task, queue=queue))
    (result,) = app.driver().send([Outgoing(id=f"{task}-{queue}", queue=queue, body=body)])
    assert result.error is None


# ── what a declaration says ──────────────────────────────────────────────────────────────────────────────


def test_a_task_may_name_several_queues(app):
    """Sends go to the first, or to the one that a send names; a worker is told of all of them."""

    @app.task("t", queues=["mail", "urgent", "slow"])
    def task(n: int) -> None: ...

    task.send(1)
    task.options(queue="slow").send(2)
    assert ["mail", "slow"] == [message.queue for message in sent(app)]
    assert ("mail", ("mail", "urgent", "slow")) == (task.queue, task.queues)
    assert ["mail", "urgent", "slow"] == app.runtime.declared_queues()
    assert ["t", "t"] == run_all(app).tasks


def test_a_task_that_names_none_has_its_apps_default_one(app):
    """Also if that is set after the declaration."""
    task = App().task("t")(lambda: None)
    assert ("default",) == task.queues
    task.app.configure(default_queue="later")
    assert ("later",) == task.queues


WRONG = [
    ({"queue": "a", "queues": ["b"]}, TaskDefinitionError, "exclude each other"),
    ({"queues": "mail"}, TaskDefinitionError, "a list of names, not 'mail'"),
    ({"queues": 3}, TaskDefinitionError, "a list of names, not 3"),
    ({"queues": []}, TaskDefinitionError, "are none"),
    ({"queues": ["a", "b", "a"]}, TaskDefinitionError, "name one twice: 'a', 'b', 'a'"),
    ({"queues": ["a b"]}, OptionError, "is not the name of a queue"),
    ({"queues": [None]}, OptionError, "is not the name of a queue"),
    ({"queues": ["a-dlq"]}, OptionError, "a dead-letter queue"),
]


@pytest.mark.parametrize(("options", "error", "why"), WRONG, ids=range(len(WRONG)))
def test_what_names_no_queues_is_refused_at_the_declaration(app, options, error, why):
    """Whatever was given in their place."""
    with pytest.raises(error, match=why):
        app.task("t", **options)(lambda: None)
    assert {} == dict(app.tasks)


# ── sends ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("strict", [None, True])
def test_every_send_to_a_queue_that_the_task_does_not_name_is_refused(app, strict, eager):
    """By task, by name, by alias, by call, many at once, on asyncio; nothing is stored, and nothing runs."""
    app.strict_queues = strict
    ran = []
    task = app.task("admin.drop", queue="admin", aliases=["drop"])(lambda: ran.append(1))
    sends = [
        lambda: task.options(queue="public").send(),
        lambda: asyncio.run(task.options(queue="public").asend()),
        lambda: app.send(task, queue="public"),
        lambda: app.send("admin.drop", queue="public"),
        lambda: app.send("drop", queue="public"),
        lambda: app.send(task.call(), queue="public"),
        lambda: app.send(task.options(queue="public").call()),
        lambda: app.send_many([task.call(), task.options(queue="public").call()]),
        lambda: asyncio.run(app.asend("drop", queue="public")),
        lambda: asyncio.run(app.asend_many([task.options(queue="public").call()])),
    ]
    for send in sends:
        if eager:
            with app.eager(), pytest.raises(OptionError, match="isn't one of queue 'public': its declaration names"):
                send()
        else:
            with pytest.raises(OptionError, match="isn't one of queue 'public'") as refused:
                send()
            assert "queues=['admin', 'public']" in refused.value.hint
    assert ([], []) == (sent(app), ran)


def test_false_lets_every_task_go_to_every_queue(app):
    """As before there was a rule; and such a message runs."""
    app.strict_queues = False
    task = app.task("t", queue="admin")(lambda: None)
    task.options(queue="public").send()
    assert ["public"] == [message.queue for message in sent(app)]
    assert ["t"] == run_all(app).tasks


def test_a_task_of_another_program_may_go_anywhere(app):
    """Its declaration isn't here to be looked at."""
    app.strict_queues = True
    app.send("theirs", queue="public")
    assert ["public"] == [message.queue for message in sent(app)]


def test_the_setting_is_true_or_false():
    """Anything else is refused; what is left out stays."""
    with pytest.raises(ConfigurationError, match="strict_queues is True or False, not 'yes'"):
        App(strict_queues="yes")
    app = App(strict_queues=True)
    app.configure(default_queue="other")
    assert app.strict_queues is True
    app.configure(strict_queues=False)
    assert app.strict_queues is False


# ── what arrives ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strict", [None, False])
def test_a_message_from_a_queue_that_its_task_does_not_name_runs(app, strict):
    """Unless it was asked for otherwise."""
    app.strict_queues = strict
    app.task("admin.drop", queue="admin")(lambda: None)
    put(app, "admin.drop", "public")
    assert ["admin.drop"] == run_all(app).tasks
    assert [] == list(app.queue("public").dead_letters)


def test_strict_a_message_from_a_queue_that_its_task_does_not_name_is_dead_lettered(app):
    """With that reason, by its own name and by an alias; those of its queues run, also after a retry."""
    app.strict_queues = True
    ran = []

    @app.task("admin.drop", queues=["admin", "admin.late"], aliases=["drop"])
    def drop() -> None:
        ran.append(cloudq.current().queue)
        if len(ran) == 1:
            raise cloudq.Retry("once more")

    for queue in ("admin", "admin.late", "public"):
        put(app, "admin.drop", queue)
    put(app, "drop", "public")
    run_all(app)
    assert ["admin", "admin", "admin.late"] == sorted(ran)
    reasons = {dead.failure.reason for dead in app.queue("public").dead_letters}
    assert {"not a task of this queue: 'admin.drop' names 'admin', 'admin.late', not 'public'"} == reasons
    assert 2 == len(list(app.queue("public").dead_letters))


def test_a_redrive_goes_to_the_same_queue_and_so_to_the_same_end(app):
    """Nothing moves a message to a queue of its task."""
    app.strict_queues = True
    app.task("t", queue="admin")(lambda: None)
    put(app, "t", "public")
    run_all(app)
    assert 1 == app.queue("public").dead_letters.redrive().redriven
    assert [] == [run for run in run_all(app).runs if run.outcome == "acked"]
    assert 1 == len(list(app.queue("public").dead_letters))
