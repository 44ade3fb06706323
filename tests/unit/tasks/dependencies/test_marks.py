"""How a parameter says that it is filled in; and that this is no part of the payload."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import fastapi
import pytest

from cloudq import INJECTED, App, Depends
from cloudq.errors import PayloadError, TaskDefinitionError
from cloudq.tasks.definition import Definition
from cloudq.tasks.task import Task, definition_of


def get_session() -> str:
    return "session"


Session = Annotated[str, Depends(get_session)]


@pytest.fixture
def app() -> App:
    return App("memory://")


def declared(app: App, function: Any) -> Definition:
    task: Task[..., Any] = app.task("t")(function)
    return definition_of(task)


def annotated(n: int, session: Session = INJECTED) -> None: ...
def by_default(n: int, session: str = Depends(get_session)) -> None: ...
def of_fastapi(n: int, session: Annotated[str, fastapi.Depends(get_session)]) -> None: ...
def of_fastapi_by_default(n: int, session: str = fastapi.Depends(get_session)) -> None: ...
def as_a_text(n: int, session: "Session") -> None: ...  # noqa: UP037 - twice a text, under the import above


@pytest.mark.parametrize("function", [annotated, by_default, of_fastapi, of_fastapi_by_default, as_a_text])
def test_a_dependency_is_no_part_of_the_payload(app, function):
    """Neither of its names nor of its positions; however it is marked."""
    definition = declared(app, function)
    task = app.tasks["t"]
    assert ["n"] == definition.parameters.names
    assert ["session"] == list(definition.dependencies)
    assert {"n": 1} == task.call(1).payload
    with pytest.raises(PayloadError, match="session is a dependency, which no message gives"):
        task.call(n=1, session="mine")


def test_a_stranger_cannot_fill_it_in(app):
    """Nor where `**rest` takes whatever comes."""

    def open_ended(n: int, session: Session, **rest: int) -> None: ...

    definition = declared(app, open_ended)
    assert {"n": 1, "other": 2} == definition.parameters.arguments({"n": 1, "other": 2})
    with pytest.raises(PayloadError, match="session is a dependency"):
        definition.parameters.arguments({"n": 1, "session": 2})


def test_behind_a_dependency_arguments_go_by_name(app):
    """Positions there would be others than the function's own."""

    def between(n: int, session: Session, m: int) -> None: ...

    declared(app, between)
    task = app.tasks["t"]
    assert {"n": 1, "m": 2} == task.call(1, m=2).payload
    with pytest.raises(PayloadError, match="too many positional"):
        task.call(1, 2)


def test_its_type_has_to_mean_nothing_to_json(app):
    """Nothing reads it from a message, so anything will do; nor can a key be made of it."""

    def task(n: int, handle: Annotated[object, Depends(sys.exit)], thread: Annotated[type, Depends(get_session)]): ...

    declared(app, task).parameters.check_types()
    with pytest.raises(TaskDefinitionError, match="session"):
        app.task("keyed", idempotency_key="{session}")(annotated)


def test_without_a_function_the_type_is_called(app):
    """As FastAPI does it; what can't be called is refused."""

    def task(one: Annotated[App, Depends()]) -> None: ...
    def none(one: Annotated[int | None, Depends()]) -> None: ...

    assert App is declared(app, task).dependencies["one"].function
    with pytest.raises(TaskDefinitionError, match="without a function"):
        app.task("none")(none)


def test_an_alias_with_a_name_is_seen_through(app):
    """Of `type SessionIn = Annotated[...]`, which Python 3.12 has."""
    alias = type("SessionIn", (), {"__value__": Session})

    def task(session: Any) -> None: ...

    task.__annotations__["session"] = alias
    assert ["session"] == list(declared(app, task).dependencies)


class Unfinished:
    """As `type Tree = list[Leaf]`, where the class is defined further down."""

    @property
    def __value__(self) -> Any:
        return Leaf  # noqa: F821 - that is the point


def test_an_alias_that_cannot_be_read_yet_is_read_later(app):
    """Declaring asks for no name that isn't there yet; an alias of itself ends, too."""
    itself: Any = Unfinished()
    alias = type("Itself", (), {})()
    alias.__value__ = alias

    def task(one: Any, other: Any) -> None: ...

    task.__annotations__.update(one=itself, other=alias)
    assert ["one", "other"] == declared(app, task).parameters.names


def twice(session: Session = Depends(get_session)) -> None: ...
def positional(session: Session, /) -> None: ...
def secured(session: Annotated[str, fastapi.Security(get_session)]) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [(twice, "two marks"), (positional, "positional-only"), (secured, "Security of FastAPI.*no.*here")],
)
def test_marks_that_cannot_be_kept_are_refused(app, function, said):
    """Where the task is declared, naming the parameter."""
    with pytest.raises(TaskDefinitionError, match=said) as refused:
        declared(app, function)
    assert "'session'" in str(refused.value)


def test_what_depends_refuses() -> None:
    """A call in place of a function, a scope that there isn't, one value of a process that isn't shared."""
    for given, said in (
        ({"function": "get_session()"}, "takes a function"),
        ({"scope": "request"}, "attempt.*process"),
        ({"scope": "process", "use_cache": False}, "one value"),
    ):
        function: Any = given.pop("function", get_session)
        options: Any = given
        with pytest.raises(TaskDefinitionError, match=said):
            Depends(function, **options)


class Later:
    """A mark of FastAPI's with an option that there isn't here."""

    dependency = get_session
    use_cache = True
    max_concurrency = 2


def test_an_option_of_fastapis_mark_that_cannot_be_kept_is_refused_by_name(app):
    """It would be ignored."""
    kind: Any = type("Depends", (Later,), {"__module__": "fastapi.params"})

    mark = kind()

    def task(session: Any = mark) -> None: ...

    with pytest.raises(TaskDefinitionError, match="max_concurrency"):
        declared(app, task)


def forward(n: int, session: DefinedBelow) -> None: ...  # noqa: F821 - not yet


def test_an_annotation_that_could_not_be_read_at_the_declaration_is_refused_once_it_can(app, monkeypatch):
    """Nothing that is a dependency is ever read from a message."""
    definition = declared(app, forward)
    assert ["n", "session"] == definition.parameters.names
    monkeypatch.setitem(globals(), "DefinedBelow", Session)
    with pytest.raises(TaskDefinitionError, match=r"'session'.*could not be read where the task is declared"):
        app.load()


def test_the_default_shows_what_it_is() -> None:
    """In the signature that a person sees."""
    assert "cloudq.INJECTED" == repr(INJECTED)
