"""Tasks that aren't declared, and are found by their names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudq import App
from cloudq.errors import UnknownTaskError
from cloudq.tasks.definition import Definition
from cloudq.tasks.resolving import Resolving
from cloudq.testing import in_memory, run_all

ran: list[int] = []


def note(n: int) -> None:
    ran.append(n)


@pytest.fixture
def asked() -> list[str]:
    """The names that the resolver was asked for."""
    ran.clear()
    return []


def app_with(asked: list[str], find: Callable[[App, str], Definition | None] | None = None) -> App:
    """An app whose resolver knows the tasks below `other.`, by whatever name."""
    app = App("memory://", unknown_task_patience=None)

    def resolver(name: str) -> Definition | None:
        asked.append(name)
        if find is not None:
            return find(app, name)
        return Definition(app, note, name, {}) if name.startswith("other.") else None

    app.resolve_tasks(resolver)
    return app


def test_a_task_that_is_met_by_its_name_is_found_and_kept(asked: list[str]) -> None:
    """At the send and in the worker, once; what is declared is never asked for."""
    app = app_with(asked)
    app.task("own")(note)
    with in_memory(app):
        app.send("other.note", {"n": 1})
        app.send("other.note", {"n": 2})
        app.send("own", {"n": 3})
        run_all(app)
    assert [1, 2, 3] == sorted(ran)
    assert ["other.note"] == asked
    assert {"own", "other.note"} == set(app.tasks) == set(app.runtime.handlers)


def test_a_name_that_it_does_not_know_is_an_unknown_task(asked: list[str]) -> None:
    """As without a resolver; and it is asked again, as the program that sends may have been deployed first."""
    app = app_with(asked)
    app.task("own")(note)
    with in_memory(app):
        app.send("elsewhere", {"n": 1})
        [letter] = run_all(app).dead_letters
    assert letter.failure is not None
    assert "unknown task" in letter.failure.reason
    assert len(asked) > 1
    assert {"own"} == set(app.tasks)
    app.load()
    app.runtime.handlers.get("other.note")
    with pytest.raises(UnknownTaskError):
        app._registry.check_task("elsewhere")
    app._registry.check_task("other.found-now")


def test_a_task_of_another_name_is_none(asked: list[str]) -> None:
    """What a resolver gives has to have the name that it was asked for."""
    app = app_with(asked, lambda app, name: Definition(app, note, "something.else", {}))
    assert app.runtime.handlers.get("other.note") is None
    assert "other.note" not in app.runtime.handlers
    assert not app.tasks


def test_the_first_that_is_found_stays(asked: list[str]) -> None:
    """Two threads may ask at once: both get the same."""
    app = app_with(asked)
    first = app.runtime.handlers["other.note"]
    again = app._registry._found(lambda name: Definition(app, note, name, {}), "other.note")
    assert first is again
    with pytest.raises(KeyError):
        app.runtime.handlers["elsewhere"]


def test_what_is_found_meanwhile_ends_no_loop(asked: list[str]) -> None:
    """A worker goes through the tasks while its threads find others."""
    app = app_with(asked)
    handlers = app.runtime.handlers
    assert isinstance(handlers, Resolving)
    app.task("a")(note)
    for number, _ in enumerate(handlers):
        handlers.get(f"other.{number}")
    assert 2 == len(handlers)
