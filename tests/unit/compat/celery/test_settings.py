"""`app.conf`: Celery's settings, wherever they are."""

from __future__ import annotations

import sys
from datetime import timedelta
from threading import Event, Thread
from types import ModuleType, SimpleNamespace

import celery
import pytest

from cloudq.compat.celery import Celery
from cloudq.compat.celery.settings import Settings, check_routes
from cloudq.errors import ConfigurationError


def read(source, namespace=None) -> Settings:
    settings = Settings()
    settings.use(source, namespace)
    return settings


def test_a_setting_is_there_by_attribute_and_by_key() -> None:
    """With Celery's defaults where they matter here."""
    settings = Settings()
    settings.task_always_eager = True
    settings["timezone"] = "Europe/Berlin"
    settings.update(result_expires=60)
    assert (True, "Europe/Berlin", 60) == (settings["task_always_eager"], settings.timezone, settings.result_expires)
    assert ("celery", None) == (settings.task_default_queue, settings.task_time_limit)
    assert timedelta(days=1) == Settings().result_expires
    assert "timezone" in settings


def test_djangos_settings_are_those_with_the_prefix() -> None:
    """In capitals, of an object."""
    source = SimpleNamespace(CELERY_TASK_ALWAYS_EAGER=True, CELERY_TIMEZONE="Europe/Berlin", DEBUG=True, OTHER=1)
    settings = read(source, "CELERY")
    assert settings.task_always_eager
    assert "Europe/Berlin" == settings.timezone
    assert "debug" not in settings


def test_a_module_has_them_in_lower_case(monkeypatch) -> None:
    """By its name, or as what it holds; names that Celery hasn't are the program's own."""
    module = ModuleType("celeryconfig_of_a_test")
    module.task_default_queue, module.helper = "shop", object()
    module.Inner = SimpleNamespace(task_default_queue="inner")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert "shop" == read(module.__name__).task_default_queue
    assert "inner" == read(f"{module.__name__}:Inner").task_default_queue
    assert "inner" == read(f"{module.__name__}.Inner").task_default_queue
    assert module.helper is read(module).helper
    assert "helper" not in list(read(module))


@pytest.mark.parametrize("first", ["set", "read"])
def test_what_the_program_sets_goes_before_what_it_names(first) -> None:
    """As with Celery, whichever comes first: a test that sets task_always_eager sends nothing to the real broker."""
    settings = Settings()
    if first == "set":
        settings.task_always_eager = True
    settings.use({"CELERY_TASK_ALWAYS_EAGER": False, "CELERY_TIMEZONE": "Europe/Berlin"}, "CELERY")
    settings.task_always_eager = True
    settings.add_defaults({"task_always_eager": False, "timezone": "UTC"})
    assert (True, "UTC") == (settings.task_always_eager, settings.timezone)
    del settings["task_always_eager"]
    assert settings.task_always_eager is False
    with pytest.raises(KeyError):
        del settings["task_always_eager"]


def test_they_are_read_at_the_first_look() -> None:
    """Django's may not be complete before."""
    source = {"task_default_queue": "early"}
    settings = read(source)
    source["task_default_queue"] = "late"
    assert "late" == settings.task_default_queue


class Slow:
    """A source that does something of a test's while it is read for the first time."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = [meanwhile]

    @property
    def task_default_queue(self) -> str:
        if self._meanwhile:
            self._meanwhile.pop()()
        return "orders"


def test_no_thread_sees_settings_that_another_one_reads() -> None:
    """An app that it made of them would have another backend, for good."""
    seen, reading, looked = [], Event(), Event()
    settings = read(Slow(lambda: (reading.set(), looked.wait(60))))
    thread = Thread(target=lambda: seen.append(settings.task_default_queue), daemon=True)
    thread.start()
    assert reading.wait(60)
    seen.append(settings.task_default_queue)
    looked.set()
    thread.join(60)
    assert ["orders", "orders"] == seen


def test_a_source_that_looks_at_a_setting_sees_what_is_known_then() -> None:
    """A module of settings that imports the app's, say."""
    seen = []
    settings = read(Slow(lambda: seen.append(settings.task_default_queue)))
    assert "orders" == settings.task_default_queue
    assert ["celery"] == seen


def test_a_source_that_has_the_app_made_comes_too_late() -> None:
    """It says so at every look: the app was made by other settings than these."""
    app = Celery("p", broker="memory://", set_as_current=False)
    app.config_from_object(Slow(app.finalize))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="'task_default_queue' comes too late"):
            look(app)


def test_a_source_that_names_another_one_gives_way_to_it() -> None:
    """As a second one does."""
    settings = read(Slow(lambda: settings.use(TWO, None)))
    assert "two" == settings.task_default_queue


ONE = {"task_default_queue": "one", "task_ignore_result": True, "timezone": "Europe/Berlin", "own": 1}
TWO = {"task_default_queue": "two"}
NAMED = {"CELERY_TASK_DEFAULT_QUEUE": "named", "CELERY_TIMEZONE": "Asia/Tokyo", "task_ignore_result": True, "RAW": 1}


def look(app) -> None:
    """At a setting: so the source is read."""
    assert app.conf.task_always_eager is not None


def sets(**settings):
    """Sets them on an app."""
    return lambda app: app.conf.update(settings)


def defaults(**settings):
    """Adds them to an app's defaults."""
    return lambda app: app.add_defaults(settings)


def source(given, **options):
    """Names a source to an app."""
    return lambda app: app.config_from_object(given, **options)


@pytest.mark.parametrize(
    "steps",
    [
        [source(ONE)],
        [source(ONE), source(TWO)],
        [source(ONE), look, source(TWO)],
        [source(ONE, force=True), source(TWO)],
        [source(ONE), source(TWO, force=True)],
        [source(ONE), sets(timezone="Asia/Tokyo", task_always_eager=True), source(TWO)],
        [source(ONE), look, sets(timezone="Asia/Tokyo", task_always_eager=True), source(TWO)],
        [source(ONE, force=True), sets(task_default_queue="set"), source(TWO)],
        [source(ONE), source(TWO), look, sets(task_default_queue="set")],
        [sets(task_default_queue="set"), source(ONE), look, sets(task_default_queue="late"), source(TWO)],
        [look, sets(task_default_queue="set", task_always_eager=True), source(ONE)],
        [source(ONE), defaults(task_always_eager=True), source(TWO)],
        [source(ONE), look, defaults(task_always_eager=True), source(TWO)],
        [defaults(task_always_eager=True), look, source(TWO)],
        [source(NAMED, namespace="CELERY")],
        [source(NAMED, namespace="CELERY"), source({**NAMED, "CELERY_TASK_DEFAULT_QUEUE": "again"})],
        [source(NAMED, namespace="CELERY"), source({"APP_TASK_DEFAULT_QUEUE": "app"}, namespace="APP")],
        [source({"celery_task_default_queue": "lower"}, namespace="celery")],
    ],
)
def test_sources_are_read_as_celery_reads_them(steps) -> None:
    """A second one takes the place of the first, and of what was set since that was read. Held to Celery itself."""
    seen = []
    for kind in (celery.Celery, Celery):
        app = kind("p", set_as_current=False)
        for step in steps:
            step(app)
        conf, names = app.conf, ("task_default_queue", "task_ignore_result", "task_always_eager")
        own = [getattr(conf, name, None) for name in ("own", "RAW", "raw")]
        seen.append([*(conf[name] for name in names), conf.timezone or "UTC", *own])
    assert seen[0] == seen[1]


def test_a_second_source_comes_too_late_if_it_changes_a_declaration() -> None:
    """Celery takes it, and its tasks stay as they were; here it says so, and nothing is changed."""
    app = Celery("p", broker="memory://", set_as_current=False)
    app.config_from_object(ONE)
    app.finalize()
    with pytest.raises(ConfigurationError, match="'task_default_queue' comes too late"):
        app.config_from_object(TWO)
    assert ("one", True) == (app.conf.task_default_queue, app.conf.task_ignore_result)
    app.config_from_object({**ONE, "task_eager_propagates": True})
    assert app.conf.task_eager_propagates


def test_what_cant_be_honoured_is_refused_at_every_look() -> None:
    """And not only at the first one."""
    settings = read({"task_serializer": "pickle"})
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="'task_serializer' can't be honoured"):
            settings.get("timezone")


def test_a_default_that_is_set_is_the_programs() -> None:
    """Celery's own are no settings of it."""
    settings = read({"timezone": "Europe/Berlin"})
    assert ("shop", "Europe/Berlin") == (
        settings.setdefault("task_default_queue", "shop"),
        settings.setdefault("timezone", "UTC"),
    )
    assert "shop" == settings.task_default_queue


@pytest.mark.parametrize("value", ["amqp://guest:secret@host//", "redis://localhost", "pyamqp://", 5])
def test_another_broker_is_refused_by_its_scheme(value) -> None:
    """Without the password in it."""
    with pytest.raises(ConfigurationError, match="'broker_url' names") as caught:
        Settings().broker_url = value
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("redis://localhost/1", "redis://localhost/1"),
        ("db+sqlite:///r.db", "sqlite:///r.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_result_backend_is_a_store(value, ours) -> None:
    """Where cloudq has one of that kind."""
    settings = Settings()
    settings.result_backend = value
    assert ours == settings.result_backend


@pytest.mark.parametrize("value", ["rpc://", "django-db", "cache+memcached://127.0.0.1/", "db+oracle://h/d"])
def test_another_result_backend_is_refused(value) -> None:
    """By its scheme."""
    with pytest.raises(ConfigurationError, match="'result_backend' names"):
        Settings().result_backend = value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beat_schedule", {"a": {"task": "t"}}),
        ("worker_prefetch_multiplier", 1),
        ("accept_content", ["pickle"]),
        ("task_serializer", "pickle"),
        ("task_acks_late", False),
        ("redis_max_connections", 5),
        ("mongodb_backend_settings", {"a": 1}),
    ],
)
def test_what_cant_be_honoured_is_refused_by_its_name(name, value) -> None:
    """Where it is set, wherever that is."""
    with pytest.raises(ConfigurationError, match=f"'{name}' can't be honoured"):
        Settings()[name] = value
    with pytest.raises(ConfigurationError, match=f"'{name}' can't be honoured"):
        Celery("proj", **{name: value})
    with pytest.raises(ConfigurationError, match=f"'{name}' can't be honoured"):
        read({f"CELERY_{name.upper()}": value}, "CELERY").read()


@pytest.mark.parametrize(
    ("name", "value"), [("accept_content", ["json"]), ("beat_schedule", {}), ("task_queues", None)]
)
def test_what_asks_for_nothing_else_is_taken(name, value) -> None:
    """An empty schedule, JSON alone."""
    Settings()[name] = value


def test_settings_of_the_old_kind_are_refused() -> None:
    """They would be passed over: Celery itself rewrites them."""
    with pytest.raises(ConfigurationError, match="CELERY_ALWAYS_EAGER is a setting of Celery's old kind"):
        read({"CELERY_ALWAYS_EAGER": True}).read()
    with pytest.raises(ConfigurationError, match="BROKER_URL is a setting of Celery's old kind"):
        Settings().update({"SECRET_KEY": "x", "BROKER_URL": "redis://"})  # as of Flask's app.config


@pytest.mark.parametrize(
    ("routes", "what"),
    [
        ({"a": {"queue": "q", "routing_key": "k"}}, "'routing_key' of 'a'"),
        ({"a": {"exchange": "e"}}, "'exchange' of 'a'"),
        ({"a": {}}, "'queue' of 'a'"),
        ({"a": {"queue": "no name!"}}, "task_routes: "),
        ([lambda name: None], "a router"),
        (["proj.routers.Router"], "a router"),
    ],
)
def test_a_route_by_anything_else_than_a_queue_is_refused(routes, what) -> None:
    """By the name of what it goes by."""
    with pytest.raises(ConfigurationError, match=what):
        check_routes(routes)


def test_what_declarations_go_by_is_fixed_with_them(app) -> None:
    """A change would have no effect; other settings change at any time."""
    app.finalize()
    app.conf.task_always_eager = True
    app.conf.task_default_queue = "celery"  # as it is
    with pytest.raises(ConfigurationError, match="'task_default_queue' comes too late"):
        app.conf.task_default_queue = "late"


def test_a_repr_shows_names_alone() -> None:
    """A value may be a password."""
    settings = Settings()
    settings.result_backend = "redis://:secret@host"
    assert "Settings(result_backend)" == repr(settings)
