"""A declaration in cloudq's words."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from cloudq.compat.celery import Celery, Task
from cloudq.compat.celery.declaring import made, name_of, options_of, route_of
from cloudq.compat.celery.retrying import most_deliveries
from cloudq.compat.celery.settings import Settings
from cloudq.errors import ConfigurationError, TaskDefinitionError


def of(settings=None, *, stored=False, **options):
    conf = Settings()
    conf.update(settings or {})
    made_of_it = options_of(made(lambda: None, Task, None, {"name": "shop.t", **options}), conf, stored=stored)
    return {name: value for name, value in made_of_it.items() if name != "retry"}


@pytest.mark.parametrize(
    ("settings", "options", "ours"),
    [
        ({}, {}, {}),
        ({}, {"queue": "mail"}, {"queue": "mail"}),
        ({"task_routes": {"shop.*": {"queue": "shop"}}}, {}, {"queue": "shop"}),
        ({"task_routes": {"shop.*": "shop"}}, {"queue": "mail"}, {"queue": "mail"}),
        ({}, {"soft_time_limit": 30}, {"time_limit": timedelta(seconds=30)}),
        ({}, {"time_limit": 60}, {"time_limit": timedelta(seconds=60)}),
        ({}, {"time_limit": 60, "soft_time_limit": 30}, {"time_limit": timedelta(seconds=60)}),
        ({"task_soft_time_limit": 90}, {}, {"time_limit": timedelta(seconds=90)}),
        ({"task_soft_time_limit": 90}, {"time_limit": 5}, {"time_limit": timedelta(seconds=5)}),
        (
            {"cloudq_priorities": {9: "urgent", 0: "bulk"}, "task_default_priority": 0},
            {"priority": 9},
            {"priorities": {"9": "urgent", "0": "bulk"}, "priority": "9"},
        ),
    ],
)
def test_an_option_means_the_same_here(settings, options, ours) -> None:
    """The task's own before the settings'."""
    assert ours == of(settings, **options)


@pytest.mark.parametrize(
    ("given", "text"), [("10/m", "10/m"), (5, "5/s"), ("5", "5/s"), (2.0, "2/s"), ("100/h", "100/h")]
)
def test_a_rate_is_each_workers_own(given, text) -> None:
    """As with Celery; a bare number is one a second."""
    rate = of(rate_limit=given)["rate"]
    assert (text, True) == (rate.text, rate.per_worker)


@pytest.mark.parametrize("given", [0, "0", "0/m", 0.0])
def test_a_rate_of_nothing_is_no_limit(given) -> None:
    """As with Celery; also beside the settings' own."""
    assert "rate" not in of({"task_default_rate_limit": "5/s"}, rate_limit=given)


def test_results_are_kept_where_a_store_is() -> None:
    """For as long as the setting says, unless the task ignores them."""
    assert {"keep_result": timedelta(days=1), "track": False} == of(stored=True)
    assert {"keep_result": timedelta(hours=1), "track": True} == of(
        {"result_expires": 3600, "task_track_started": True}, stored=True
    )
    assert {} == of(stored=True, ignore_result=True)
    assert {} == of({"task_ignore_result": True}, stored=True)


@pytest.mark.parametrize(
    ("settings", "options", "error", "what"),
    [
        ({}, {"time_limit": 30, "soft_time_limit": 60}, TaskDefinitionError, "shorter than soft_time_limit"),
        ({"task_time_limit": 5, "task_soft_time_limit": 9}, {}, ConfigurationError, "settings: task_time_limit is 5 s"),
        ({}, {"priority": 5}, TaskDefinitionError, "'priority' can't be honoured without"),
        ({"cloudq_priorities": {9: "a", 0: "b"}}, {"priority": 5}, TaskDefinitionError, "none of the setting"),
        ({}, {"retry_kwargs": {"queue": "q"}}, TaskDefinitionError, "'queue' of Celery's option 'retry_kwargs'"),
        ({}, {"max_retries": "5"}, TaskDefinitionError, "max_retries counts retries, not '5'"),
        ({}, {"retry_kwargs": {"max_retries": "5"}}, TaskDefinitionError, "retry_kwargs counts retries, not '5'"),
        ({}, {"autoretry_for": OSError}, TaskDefinitionError, "autoretry_for names classes of errors"),
        ({}, {"autoretry_for": ("OSError",)}, TaskDefinitionError, "autoretry_for names classes of errors"),
        ({}, {"dont_autoretry_for": None}, TaskDefinitionError, "dont_autoretry_for names classes of errors"),
        ({}, {"retry_backoff": "soon"}, TaskDefinitionError, "retry_backoff is a number .* not 'soon'"),
        ({}, {"retry_backoff_max": None}, TaskDefinitionError, "retry_backoff_max is a number .* not None"),
        ({}, {"retry_kwargs": {"countdown": "soon"}}, TaskDefinitionError, "countdown is a number .* not 'soon'"),
        ({}, {"default_retry_delay": "soon"}, TaskDefinitionError, "default_retry_delay is a number .* not 'soon'"),
        ({}, {"acks_late": False}, TaskDefinitionError, "'acks_late' can't be honoured"),
        ({}, {"rate_limit": "0.5/s"}, TaskDefinitionError, "'shop.t': Celery's option 'rate_limit' .*'0.5/s'"),
        ({"task_default_rate_limit": "5/w"}, {}, TaskDefinitionError, "'shop.t': .* 'task_default_rate_limit'"),
        ({}, {"base": object}, TaskDefinitionError, "the base 'object' is no Task"),
    ],
)
def test_what_cant_be_honoured_is_refused(settings, options, error, what) -> None:
    """By the option's name."""
    with pytest.raises(error, match=what):
        of(settings, **options)


def test_the_policy_lets_through_what_named_errors_are_retried_with() -> None:
    """A message that is handed over more often than the task itself allows isn't one that kills its workers."""
    task = made(lambda: None, Task, None, {"name": "t", "retry_kwargs": {"max_retries": 200}})
    assert most_deliveries(200) == options_of(task, Settings(), stored=False)["retry"].max_deliveries


def test_an_async_def_is_refused(app) -> None:
    """Celery has none, so that none is moved; cloudq's own decorator takes them."""

    async def later() -> None: ...

    with pytest.raises(TaskDefinitionError, match="is an async def"):
        app.task(later)


def test_a_refused_attribute_of_a_base_is_refused() -> None:
    """A class's options are options."""

    class Pickled(Task):
        serializer = "pickle"

    with pytest.raises(TaskDefinitionError, match="'serializer' can't be honoured"):
        made(lambda: None, Pickled, None, {"name": "t"})


def test_names_are_celerys() -> None:
    """A module's and a function's; that of a script is the app's."""
    assert "shop.tasks.add" == name_of("shop.tasks", "add", "main")
    assert "main.add" == name_of("__main__", "add", "main")
    assert "__main__.add" == name_of("__main__", "add", None)


def test_a_route_is_the_name_before_the_patterns() -> None:
    """Then the first pattern that fits, whichever its kind."""
    conf = Settings()
    conf.task_routes = ([("a.*", {"queue": "first"}), (re.compile(r"b\d"), "second")], {"a.own": {"queue": "own"}})
    assert ["own", "first", "second", None] == [route_of(name, conf) for name in ("a.own", "a.x", "b7", "c")]


def test_a_task_with_any_arguments_is_refused(app) -> None:
    """A payload names its arguments."""
    app.task(name="t")(lambda *args: None)
    with pytest.raises(TaskDefinitionError, match="a payload names its arguments"):
        app.finalize()


def test_an_option_that_celery_hasnt_is_an_attribute(app: Celery) -> None:
    """A program's own, as with Celery."""
    assert "red" == app.task(name="t", colour="red")(lambda: None).colour
