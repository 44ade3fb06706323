"""The tables of a task's options and methods, held to Celery's own."""

from __future__ import annotations

import inspect

import celery
import pytest
from celery.app import autoretry
from celery.app.task import extract_exec_options

from cloudq.compat.celery import Task
from cloudq.compat.celery.task_options import TASK_METHODS, TASK_OPTIONS
from cloudq.compat.celery.verdicts import Verdict
from tests.unit.compat.celery.reading import names_asked_for, public


def test_each_attribute_of_celerys_task_is_in_a_table() -> None:
    """Whatever is new in a release of Celery's fails here, and gets its place."""
    assert set() == public(celery.Task) - {*TASK_OPTIONS, *TASK_METHODS}


def test_each_option_of_a_declaration_is_in_the_table() -> None:
    """What `_task_from_fun` names, what autoretry asks for, and what a task hands to its messages."""
    declared = set(inspect.signature(celery.Celery._task_from_fun).parameters) - {"self", "fun", "options"}
    handed_on = set(inspect.getclosurevars(extract_exec_options).nonlocals["attrs"])
    assert {"queue", "priority"} < handed_on
    retried = names_asked_for(autoretry.add_autoretry_behaviour, "options.get", "getattr") - {"override_max_retries"}
    assert {"autoretry_for", "retry_backoff_max", "retry_kwargs"} < retried
    by_settings = {name for name, _ in celery.Task.from_config} | {"exchange_type"}  # which `bind` warns of
    assert set() == (declared | handed_on | retried | by_settings) - set(TASK_OPTIONS) - {"run", "_orig_run"}


@pytest.mark.parametrize("name", sorted(n for n, e in TASK_METHODS.items() if e.verdict is not Verdict.REFUSED))
def test_what_maps_is_there(name) -> None:
    """On our task."""
    assert hasattr(Task, name)


@pytest.mark.parametrize("name", sorted(n for n, e in TASK_METHODS.items() if e.verdict is Verdict.REFUSED))
def test_what_is_refused_says_what_to_do(app, name) -> None:
    """By an AttributeError, so that `hasattr` tells the truth."""
    task = app.task(name="t")(lambda: None)
    with pytest.raises(AttributeError, match="hint: ") as caught:
        getattr(task, name)
    assert TASK_METHODS[name].ours in str(caught.value)
