"""The tasks that an app declares, by name and alias."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.errors import ConfigurationError, TaskDefinitionError
from cloudq.tasks.registry import Registry


def function() -> None: ...


def another() -> None: ...


def test_a_task_is_found_by_its_name_and_its_aliases() -> None:
    """Aliases are no tasks of their own."""
    registry = Registry()
    task = registry.declare(App("memory://"), function, "f", {"aliases": ["old"]})
    assert {"f": task} == dict(registry.tasks)
    assert {"f", "old"} == set(registry.definitions)


def test_a_name_is_taken_once_but_by_the_same_place() -> None:
    """A module that is reloaded declares the same again."""
    registry, app = Registry(), App("memory://")
    registry.declare(app, function, "f", {})
    registry.declare(app, function, "f", {})
    with pytest.raises(TaskDefinitionError, match="is declared twice"):
        registry.declare(app, another, "f", {})


def test_a_task_is_no_function_to_declare() -> None:
    """Its function is."""
    registry, app = Registry(), App("memory://")
    task = registry.declare(app, function, "f", {})
    with pytest.raises(TaskDefinitionError, match="is a task already") as raised:
        registry.declare(app, task, "g", {})
    assert "__wrapped__" in str(raised.value.hint)


def test_a_module_that_can_not_be_imported_is_named() -> None:
    """At start, with what was raised."""
    with pytest.raises(ConfigurationError, match="imports names 'no_such_module_at_all'"):
        Registry().load(["no_such_module_at_all"])
