"""The extension of Flask: what it takes from the configuration, and which application its tasks run in."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta

import flask
import pytest

import cloudq
from cloudq.default_app import default
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.integrations.flask import Cloudq
from cloudq.integrations.flask.extension import settings_in
from cloudq.push import PushSettings
from cloudq.tasks.app_settings import AppSettings
from cloudq.testing import in_memory, run_all
from tests.unit.push.fakes import URL, PushedDriver, push


def a_web(name: str = "shop", **config: object) -> flask.Flask:
    web = flask.Flask(name)
    web.config.update(config)
    return web


@pytest.fixture
def app() -> cloudq.App:
    return cloudq.App()


def test_the_configuration_is_the_apps_own_settings_in_capitals(app, tmp_path):
    """With a URL that is opened at the first send, not before; what is None is left out."""
    file = tmp_path / "shop.db"
    web = a_web(
        CLOUDQ_URL=f"sqlite:///{file}",
        CLOUDQ_DEFAULT_QUEUE="mail",
        CLOUDQ_LONGEST_DELAY=timedelta(days=2),
        CLOUDQ_STORE=None,
        CLOUDQ_MIDDLEWARE=None,
        CLOUD="not ours",
    )
    queue = Cloudq(app=app)
    queue.init_app(web)
    assert queue is web.extensions["cloudq"]
    assert (f"sqlite:///{file}", "mail", timedelta(days=2)) == (app.url, app.default_queue, app.longest_delay)
    assert not file.exists()


def test_an_unknown_setting_is_refused_by_its_name(app):
    """With the nearest that there is."""
    with pytest.raises(ConfigurationError, match="CLOUDQ_DEFAULT_QEUE, which is no setting") as refused:
        Cloudq(a_web(CLOUDQ_DEFAULT_QEUE="mail"), app=app)
    assert "'CLOUDQ_DEFAULT_QUEUE'" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match="strict_queues is True or False"):
        Cloudq(a_web(CLOUDQ_STRICT_QUEUES="yes"), app=app)


def test_every_setting_of_the_app_has_its_key():
    """One that is added later, too."""
    known = AppSettings.__annotations__
    config = {f"CLOUDQ_{name.upper()}": name for name in known}
    assert {name: name for name in known} == settings_in(config)


def test_the_default_apps_tasks_are_served_without_another_word(monkeypatch):
    """`@cloudq.task`, as everywhere else."""
    monkeypatch.setattr(default, "middleware", ())
    queue = Cloudq()
    web = a_web(CLOUDQ_DEFAULT_QUEUE="default")
    seen = []

    @cloudq.task("t")
    def task() -> None:
        seen.append(flask.current_app.name)

    with in_memory(default):
        queue.init_app(web)  # as a test's own set-up may be first
        task.send()
        run_all(default)
    assert queue.app is default
    assert ["shop"] == seen


def test_what_a_test_keeps_in_memory_stays_there(app, tmp_path):
    """The application's URL isn't looked at; a later application's is."""
    queue = Cloudq(app=app)
    web = a_web(CLOUDQ_URL="sqs://eu-west-1")
    with in_memory(app):
        queue.init_app(web)
        assert Cloudq(app=app) is not queue
    queue.init_app(a_web(CLOUDQ_URL=f"sqlite:///{tmp_path / 'q.db'}"))
    assert app.url.endswith("q.db")


def test_other_settings_need_a_close(app, tmp_path):
    """Else the sends of the first application would go to the second one's queue."""
    first, second = ({"CLOUDQ_URL": f"sqlite:///{tmp_path / name}.db"} for name in "ab")
    queue = Cloudq(a_web(**first), app=app)
    queue.init_app(a_web(**first))
    with pytest.raises(ConfigurationError, match="other CLOUDQ_ settings"):
        queue.init_app(a_web(**second))
    app.driver()
    queue.close()
    assert not app.is_open
    queue.init_app(a_web(**second))
    assert app.url.endswith("b.db")


def test_after_a_close_the_app_is_as_it_was_before(app, tmp_path, monkeypatch):
    """What the next application leaves out is the environment's, not the former application's."""
    monkeypatch.setenv("CLOUDQ_URL", f"sqlite:///{tmp_path / 'env.db'}")
    queue = Cloudq(app=app)
    before = app.url, app.default_queue, app.middleware
    queue.init_app(a_web(CLOUDQ_URL=f"sqlite:///{tmp_path / 'a.db'}", CLOUDQ_DEFAULT_QUEUE="first"))
    assert "first" == app.default_queue
    queue.close()
    queue.init_app(a_web(CLOUDQ_URL=None))
    assert before == (app.url, app.default_queue, app.middleware)
    assert app.url.endswith("env.db")


def test_a_close_while_a_driver_is_lent_sets_the_app_back_later(app, tmp_path):
    """As in a test that works in memory: the next application has its own settings all the same."""
    queue = Cloudq(a_web(CLOUDQ_URL=f"sqlite:///{tmp_path / 'a.db'}", CLOUDQ_DEFAULT_QUEUE="first"), app=app)
    with app.using(MemoryDriver()):
        queue.close()
    queue.init_app(a_web(CLOUDQ_URL=f"sqlite:///{tmp_path / 'b.db'}"))
    assert "default" == app.default_queue


def test_an_application_has_one(app):
    """A second one's commands and settings would hide the first one's."""
    web = a_web()
    queue = Cloudq(web, app=app)
    queue.init_app(web)
    with pytest.raises(ConfigurationError, match="has another Cloudq"):
        Cloudq(web, app=cloudq.App())


def test_a_task_runs_in_the_application_that_sends_it_if_it_runs_at_once_else_in_the_latest(app):
    """As a suite of tests has it, whose every test makes an application."""
    queue = Cloudq(app=app)
    first, second = a_web("first"), a_web("second")
    seen = []

    @app.task("t")
    def task() -> None:
        seen.append(flask.current_app.name)

    queue.init_app(first)
    queue.init_app(second)
    with in_memory(app):
        with first.app_context(), app.eager():
            task.send()
        task.send()
        run_all(app)
    assert ["first", "second"] == seen


def test_the_context_is_outermost_and_there_is_one(app):
    """Other middleware uses it, too. A module that is loaded again makes a second Cloudq, whose context is the one."""
    seen = []

    def names(context: cloudq.Context) -> Generator[None, cloudq.Outcome, cloudq.Outcome]:
        seen.append(flask.current_app.name)
        return (yield)

    app.configure(middleware=[names])
    Cloudq(a_web("old"), app=app)
    Cloudq(a_web("new"), app=app)
    assert 2 == len(app.middleware)
    web = a_web("newest", CLOUDQ_MIDDLEWARE=[names, names])
    Cloudq(web, app=app)

    @app.task("t")
    def task() -> None: ...

    with in_memory(app):
        task.send()
        run_all(app)
    assert ["newest", "newest"] == seen


def test_pushes_are_taken_beside_the_views(app):
    """No view's guard sees them; their tasks have the context, too; other paths are the application's."""
    web = a_web(CLOUDQ_URL=URL)
    queue = Cloudq(web, app=app)
    seen = []

    @app.task("t")
    def task(n: int) -> None:
        seen.append((flask.current_app.name, flask.has_request_context(), n))

    @web.before_request
    def guard() -> tuple[str, int]:
        return "log in first", 403

    queue.mount_push(web, "/tasks", PushSettings(insecure_no_auth=True))
    headers, body = push("t", {"n": 7})
    client = web.test_client()
    with app.using(PushedDriver()):
        assert 200 == client.post("/tasks/", headers=headers, data=body).status_code
    assert [("shop", False, 7)] == seen
    assert 403 == client.get("/").status_code


@pytest.mark.parametrize("path", ["tasks", "/", "", "/tasks/"])
def test_a_path_to_mount_at_begins_with_a_slash_and_ends_without(app, path):
    """The root would take the whole application's place."""
    web = a_web()
    with pytest.raises(ConfigurationError, match="no path to mount at"):
        Cloudq(web, app=app).mount_push(web, path)
