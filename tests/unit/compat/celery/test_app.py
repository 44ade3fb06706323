"""An app in Celery's words."""

from __future__ import annotations

import sys
from datetime import UTC
from importlib import import_module
from threading import Event, Thread
from types import ModuleType

import pytest

from cloudq.app import App
from cloudq.compat.celery import Celery, Task
from cloudq.compat.celery.exceptions import NotRegistered
from cloudq.discovery import _app_in, _apps_of
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.testing import run_all, sent


def test_tasks_are_declared_at_the_first_use(app) -> None:
    """Those that come later at once."""
    first = app.task(name="first")(lambda: None)
    app.conf.task_default_queue = "late"
    assert ["first"] == list(app.cloudq.tasks)
    assert "late" == first.cloudq.queue
    app.task(name="second")(lambda: None)
    assert ["first", "second"] == list(app.tasks) == list(app.cloudq.tasks)
    with pytest.raises(NotRegistered, match="third"):
        app.tasks["third"]


def test_a_send_by_name(app, open_app) -> None:
    """Of a task that is declared here as by the task; of another one by names alone."""
    app.conf.task_routes = {"other.*": "other"}
    app.task(name="here")(lambda a: None)
    ours, _ = open_app(app)
    app.send_task("here", (1,))
    app.send_task("other.there", kwargs={"b": 2}, countdown=5)
    assert [("here", {"a": 1}, "celery"), ("other.there", {"b": 2}, "other")] == [
        (message.task, message.payload, message.queue) for message in sent(ours)
    ]
    with pytest.raises(OptionError, match=r"'other.there' isn't declared here.*kwargs"):
        app.send_task("other.there", (1,))


def test_an_option_that_is_none_isnt_given(app, open_app) -> None:
    """Of a task that isn't known here as of one that is: programs pass on what they were given."""
    app.conf.task_routes = {"other.*": "other"}
    here = app.task(name="other.t")(lambda: None)
    ours, _ = open_app(app)
    nothing = dict.fromkeys(["queue", "countdown", "eta", "expires", "headers", "priority", "retries", "time_limit"])
    app.send_task("other.of_a_neighbour", None, None, **nothing)
    here.apply_async(None, None, **nothing)
    here.s().apply_async(None, None, **nothing)
    assert ["other"] * 3 == [message.queue for message in sent(ours)]
    assert [{}] * 3 == [message.headers for message in sent(ours)]


def test_modules_are_imported_before_tasks_are_looked_for(app, monkeypatch, tmp_path) -> None:
    """Those of `include`, and the `tasks` of packages that have one."""
    (tmp_path / "pkg_of_h").mkdir()
    (tmp_path / "pkg_of_h/__init__.py").write_text("")
    source = "from cloudq.compat.celery import shared_task\n@shared_task\ndef found(): ...\n"
    (tmp_path / "pkg_of_h/tasks.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("pkg_of_h", "pkg_of_h.tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    app.autodiscover_tasks(["pkg_of_h", "no_such_package"])
    assert ["pkg_of_h.tasks.found"] == list(app.tasks)


def test_a_first_send_and_an_import_in_two_threads_dont_wait_for_each_other(app, monkeypatch, tmp_path) -> None:
    """The import has the module, and declares a task; the send has the app make itself, and imports that module."""
    gate = ModuleType("gate_of_h")
    gate.importing, gate.sending = Event(), Event()
    (tmp_path / "slow_of_h.py").write_text(
        "from gate_of_h import importing, sending\nfrom cloudq.compat.celery import shared_task\n"
        "importing.set()\nsending.wait(60)\n@shared_task\ndef found(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "gate_of_h", gate)
    monkeypatch.delitem(sys.modules, "slow_of_h", raising=False)

    def packages():
        gate.sending.set()
        return ["slow_of_h"]

    app.autodiscover_tasks(packages, related_name=None)
    importing = Thread(target=import_module, args=["slow_of_h"], daemon=True)
    sending = Thread(target=app.finalize, daemon=True)
    importing.start()
    assert gate.importing.wait(60)
    sending.start()
    for thread in (importing, sending):
        thread.join(60)
    assert [False, False] == [importing.is_alive(), sending.is_alive()]
    assert ["slow_of_h.found"] == list(app.cloudq.tasks)


def test_a_module_that_isnt_there_is_an_error() -> None:
    """It names it."""
    app = Celery("proj", broker="memory://", include=["no_such_module_of_h"])
    with pytest.raises(ConfigurationError, match="no_such_module_of_h can't be imported"):
        app.finalize()


def test_a_worker_finds_the_app_that_it_stands_for(app) -> None:
    """`cloudq worker --app proj.celery:app`, or the module alone."""
    module = ModuleType("proj.celery")
    module.app = app
    assert app.cloudq is _app_in(app)
    assert (
        [app.cloudq] == [found for _, found in _apps_of(module).values()]
        if False
        else [app.cloudq] == list(_apps_of(module).values())
    )
    assert isinstance(_app_in(App("memory://")), App)
    assert None is _app_in(object())


def test_an_app_isnt_made_without_a_task_that_cant_be_declared(app) -> None:
    """It is refused at every use, and not at the first one alone: a worker wouldn't know those after it."""
    app.task(name="bad")(lambda *args: None)
    app.task(name="good")(lambda: None)
    for _ in range(2):
        with pytest.raises(TaskDefinitionError, match="'bad'"):
            app.send_task("good")


def test_a_module_whose_import_failed_once_may_be_imported_again(app, monkeypatch, tmp_path) -> None:
    """In a program that goes on: what it had declared by then isn't declared twice."""
    (tmp_path / "flaky_of_h.py").write_text(
        "from cloudq.compat.celery import shared_task\n@shared_task\ndef one(): ...\n"
        "import gate_of_h\n@shared_task\ndef two(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    app.conf.include = ["flaky_of_h"]
    with pytest.raises(ConfigurationError, match="gate_of_h"):
        app.finalize()
    monkeypatch.setitem(sys.modules, "gate_of_h", ModuleType("gate_of_h"))
    assert ["flaky_of_h.one", "flaky_of_h.two"] == list(app.cloudq.tasks)


def test_settings_come_with_the_app(monkeypatch) -> None:
    """As arguments, an object, a variable; what the program says itself goes before what it names."""
    config = ModuleType("config_of_h")
    config.timezone = "UTC"
    config.task_default_queue, config.task_ignore_result = "configured", False
    monkeypatch.setitem(sys.modules, config.__name__, config)
    monkeypatch.setenv("CONFIG_OF_H", config.__name__)
    app = Celery("proj", broker="memory://", task_default_queue="given", task_eager_propagates=True)
    app.config_from_envvar("CONFIG_OF_H")
    app.add_defaults({"task_ignore_result": True, "task_eager_propagates": False})
    assert ("given", True, True) == (
        app.conf.task_default_queue,
        app.conf.task_ignore_result,
        app.conf.task_eager_propagates,
    )
    assert UTC is app.timezone is app.now().tzinfo
    assert "configured" == Celery("other", config_source=config, set_as_current=False).conf.task_default_queue
    with pytest.raises(ConfigurationError, match="NOT_SET_OF_H isn't set"):
        app.config_from_envvar("NOT_SET_OF_H")
    with pytest.raises(ConfigurationError, match="'silent' can't be honoured"):
        app.config_from_object(config, silent=True)


@pytest.mark.parametrize("option", ["loader", "amqp", "control", "fixups"])
def test_an_argument_that_cant_be_honoured_is_refused(option) -> None:
    """By its name."""
    with pytest.raises(ConfigurationError, match=f"'{option}' can't be honoured"):
        Celery("proj", **{option: object()})


def test_an_app_has_a_base_of_its_own(open_app) -> None:
    """For all of its tasks."""

    class Base(Task):
        max_retries = 7

    app = Celery("proj", broker="memory://", task_cls=Base)
    assert 7 == app.task(name="t")(lambda: None).max_retries


def test_an_app_closes_its_backend(app, open_app) -> None:
    """And opens it again at the next use."""
    task = app.task(name="t")(lambda: None)
    ours, _ = open_app(app)
    task.delay()
    assert 1 == len(run_all(ours).runs)
    app.close()
    Celery("unused").close()
    assert "<Celery proj>" == repr(app)


def test_an_apps_own_send_task_is_what_every_send_goes_through(open_app) -> None:
    """As with Celery: a program adds its headers there. Once for each send, and with its own options."""
    seen = []

    class Shop(Celery):
        def send_task(self, name, args=None, kwargs=None, **options):
            seen.append(name)
            options["headers"] = {**(options.get("headers") or {}), "tenant": options.pop("tenant", "a"), "none": None}
            return super().send_task(name, args, kwargs, **options)

    app = Shop("proj", broker="memory://")

    @app.task(bind=True, name="t")
    def task(self, n):
        seen.append((n, self.request.tenant, self.request.get("none", "left out")))

    ours, _ = open_app(app)
    task.delay(1)
    task.s(2).apply_async(tenant="b")
    app.send_task("t", (3,))
    run_all(ours)
    assert ["t", "t", "t", (1, "a", "left out"), (2, "b", "left out"), (3, "a", "left out")] == seen
