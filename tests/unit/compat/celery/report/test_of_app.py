"""What an app's object asks of Celery: a real one's."""

from __future__ import annotations

import celery._state
import pytest
from celery import Celery, Task

from cloudq.compat import celery as ours
from cloudq.compat.celery.report.of_app import is_celery_app, of_app, own_tasks


@pytest.fixture
def app(monkeypatch):
    """An app of Celery's own. Its tasks are those of every app of the process: not so here."""
    monkeypatch.setattr(celery._state, "_on_app_finalizers", set())
    return Celery("proj", set_as_current=False)


def asked(app, kind: str) -> set[tuple[str, str]]:
    """The names and verdicts of one kind."""
    return {(one.name, one.verdict.name) for one in of_app(app) if one.kind == kind}


def test_an_app_is_celerys_own(app) -> None:
    """Or a subclass's; ours is none."""

    class Mine(Celery): ...

    assert is_celery_app(app)
    assert is_celery_app(Mine(set_as_current=False))
    assert not is_celery_app(ours.Celery("proj", set_as_current=False))
    assert not is_celery_app(None)


def test_an_app_without_settings_asks_for_nothing(app) -> None:
    """Celery's defaults are none of the program's."""
    assert [] == list(of_app(app))


def test_settings_routes_and_schedules_are_read(app) -> None:
    """A URL by its scheme alone."""
    app.conf.update(
        broker_url="redis://:secret@host/0",
        result_backend="db+postgresql://user:secret@host/db",
        timezone="Europe/Berlin",
        task_serializer="json",
        accept_content=["pickle"],
        worker_prefetch_multiplier=1,
        mongodb_backend_settings={"database": "d"},
        task_routes={"a.*": {"queue": "q"}, "b.*": {"exchange": "e"}},
        beat_schedule={"nightly": {"task": "a.b", "schedule": 60}},
        task_time_limit=50,
        task_soft_time_limit=60,
    )
    assert {
        ("broker_url redis", "REFUSED"),
        ("result_backend postgresql", "MAPS"),
        ("timezone", "MAPS"),
        ("task_serializer", "MAPS"),
        ("accept_content", "REFUSED"),
        ("worker_prefetch_multiplier", "REFUSED"),
        ("mongodb_backend_settings", "REFUSED"),
        ("task_time_limit", "CHANGES"),
        ("task_soft_time_limit", "CHANGES"),
        ("task_time_limit before task_soft_time_limit", "REFUSED"),
    } == asked(app, "setting")
    assert {("a.*", "MAPS"), ("b.*", "REFUSED")} == asked(app, "route")
    assert {("nightly", "REFUSED")} == asked(app, "schedule")
    assert "secret" not in repr(list(of_app(app)))


SAID = {"worker_prefetch_multiplier": 4, "worker_hijack_root_logger": True, "task_serializer": "json"}
SAID_TO_DJANGO = {f"CELERY_{name.upper()}": value for name, value in SAID.items()}


@pytest.mark.parametrize("way", ["update", "object", "namespace"])
def test_what_is_said_is_read_though_celery_does_it_anyway(app, way) -> None:
    """Here it may be refused: then it has to be deleted. What nobody says is none of the program's."""
    if way == "update":
        app.conf.update(SAID)
    elif way == "object":
        app.config_from_object(type("Conf", (), SAID))
    else:
        app.config_from_object(type("Conf", (), SAID_TO_DJANGO), namespace="CELERY")
    assert {
        ("worker_prefetch_multiplier", "REFUSED"),
        ("worker_hijack_root_logger", "REFUSED"),
        ("task_serializer", "MAPS"),
    } == asked(app, "setting")


def test_names_of_celerys_first_versions_are_listed(app) -> None:
    """Which Celery still reads, and cloudq refuses."""
    app.config_from_object({"CELERYD_PREFETCH_MULTIPLIER": 2, "CELERY_ALWAYS_EAGER": True, "CELERY_OWN": 1})
    assert {
        ("CELERYD_PREFETCH_MULTIPLIER", "REFUSED"),
        ("CELERY_ALWAYS_EAGER", "REFUSED"),
        ("worker_prefetch_multiplier", "REFUSED"),
        ("task_always_eager", "MAPS"),
    } == asked(app, "setting")


def test_tasks_are_read_with_their_options(app) -> None:
    """Those of their bases too; what the settings give them stands at the settings."""
    app.conf.task_acks_late = True

    class Base(Task):
        max_retries = 9

    @app.task(name="shop.one", base=Base, acks_late=True, rate_limit="5/m", compression="zlib")
    def one(a): ...

    @app.task(name="shop.two", bind=True, autoretry_for=(KeyError,), time_limit=5, soft_time_limit=9)
    def two(self, *args): ...

    @app.task(name="shop.three")
    async def three(): ...

    assert ["shop.one", "shop.three", "shop.two"] == own_tasks(app)
    assert {
        ("max_retries", "CHANGES"),
        ("rate_limit", "MAPS"),
        ("compression", "REFUSED"),
        ("autoretry_for", "MAPS"),
        ("time_limit", "CHANGES"),
        ("soft_time_limit", "CHANGES"),
        ("time_limit before soft_time_limit", "REFUSED"),
    } == asked(app, "task option")
    assert {("task", "MAPS"), ("*args", "REFUSED"), ("async def", "REFUSED")} == asked(app, "task")
    places = {one.places[0] for one in of_app(app) if one.name == "*args"}
    assert all("shop.two (" in place and "test_of_app.py:" in place for place in places)
