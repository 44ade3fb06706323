"""What a declaration fixes: names, functions that can be tasks, options, and the runs of a task."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from datetime import timedelta

import pytest

from cloudq import App, Context, RetryPolicy
from cloudq.errors import OptionError, PayloadError, TaskDefinitionError
from cloudq.testing import in_memory, run_all
from tests.ids import shown

SECOND = timedelta(seconds=1)


@pytest.fixture
def app() -> App:
    return App()


def plain(user_id: int, *, note: str = "none") -> str:
    """Says something."""
    return f"{user_id} {note}"


async def awaited(user_id: int) -> int:
    return user_id + 1


@pytest.mark.parametrize("name", ["", "a\nb", "\x00"])
def test_a_name_that_cannot_be_shown_is_refused(app, name):
    """An empty or unprintable name is none."""
    with pytest.raises(TaskDefinitionError, match="no name for a task"):
        app.task(name)(plain)


@pytest.mark.parametrize("aliases", ["old", [1], [""], 5, ["a\n"]])
def test_aliases_that_are_no_list_of_names_are_refused(app, aliases):
    """A text is no list: each letter would be an alias."""
    with pytest.raises(TaskDefinitionError, match="aliases"):
        app.task("x", aliases=aliases)(plain)


class Shop:
    def method(self, n: int) -> None: ...

    @classmethod
    def of_class(cls, n: int) -> None: ...

    @staticmethod
    def static(n: int) -> int:
        return n


def generator():
    yield 1


async def async_generator():
    yield 1


class Callme:
    def __call__(self, n: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (generator, "is a generator"),
        (async_generator, "is a generator"),
        (len, "is no function"),
        (int, "is no function"),
        (Shop, "is no function"),
        (Callme(), "is no function"),
        (functools.partial(plain, 1), "is no function"),
        (Shop.method, "is a method"),
        (Shop().method, "is bound"),
        (Shop.of_class, "is bound"),
    ],
    ids=shown,
)
def test_what_a_worker_could_not_call_by_name_is_refused(app, function: Callable[..., object], why):
    """Generators, builtins, classes, objects and methods are no tasks."""
    with pytest.raises(TaskDefinitionError, match=why):
        app.task("x")(function)
    assert {} == dict(app.tasks)


def test_a_static_method_can_be_a_task(app):
    """It is a function with a longer name."""
    task = app.task(Shop.static)
    assert (f"{__name__}.Shop.static", 4) == (task.name, task(4))


def test_star_args_are_refused(app):
    """A payload names its arguments."""

    def many(*numbers: int) -> None: ...

    with pytest.raises(TaskDefinitionError, match=r"takes \*numbers") as caught:
        app.task("x")(many)
    assert "list" in caught.value.hint


def test_a_decorated_function_is_bound_by_the_signature_of_the_original(app):
    """`functools.wraps` shows the signature, and the wrapper is what runs."""
    calls = []

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            calls.append(kwargs)
            return function(*args, **kwargs)

        return wrapper

    task = app.task("x")(logged(plain))
    with pytest.raises(PayloadError, match="user_id"):
        task.call(user_id="a")
    with in_memory(app):
        task.send(user_id=1)
        run_all(app, raise_errors=True)
    assert [{"user_id": 1}] == calls


def hidden(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("function", [awaited, generator], ids=["async def", "generator"])
def test_a_run_that_only_made_a_coroutine_is_no_success(app, function):
    """A decorator that hides an async def or a generator makes the task fail, rather than count as done."""
    task = app.task("x", retry=RetryPolicy(stop=lambda state: True))(hidden(function))
    with in_memory(app):
        app.send(task, {"user_id": 1} if function is awaited else {})
        report = run_all(app)
    [dead] = report.dead_letters
    assert "nothing would run" in dead.failure.reason


def executed(source: str) -> dict[str, object]:
    """The names of a module of that source, which doesn't inherit the flags of this file."""
    namespace: dict[str, object] = {"__name__": __name__}
    exec(compile(source, "made.py", "exec", dont_inherit=True), namespace)  # noqa: S102 - the source is in this file
    return namespace


ANNOTATED = {
    "by the class": "from cloudq import Context\ndef f(c: Context, n: int): return c.task, n",
    "by a string": "from cloudq import Context\ndef f(c: 'Context', n: int): return c.task, n",
    "by the package": "import cloudq\ndef f(c: 'cloudq.Context', n: int): return c.task, n",
    "by an alias": "import cloudq as cq\ndef f(c: 'cq.Context', n: int): return c.task, n",
    "under future annotations": (
        "from __future__ import annotations\nfrom cloudq import Context as C\ndef f(c: C, n: int): return c.task, n"
    ),
    "by a string under future annotations": (
        "from __future__ import annotations\nimport cloudq\ndef f(c: 'cloudq.Context', n: int): return c.task, n"
    ),
    "for type checkers only": (
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from cloudq import Context\n"
        "def f(c: Context, n: int) -> Nowhere: return c.task, n"
    ),
    "positional only": "from cloudq import Context\ndef f(c: Context, n: int, /): return c.task, n",
    "async": "from cloudq import Context\nasync def f(c: Context, n: int): return c.task, n",
}


@pytest.mark.parametrize("source", ANNOTATED.values(), ids=ANNOTATED.keys())
def test_a_leading_context_is_filled_in_and_hidden(app, source):
    """However its annotation is written, callers don't see it, and it gives the message."""
    namespace = executed(source)
    seen = []
    original = namespace["f"]

    @functools.wraps(original)
    def recording(*args, **kwargs):
        result = original(*args, **kwargs)
        seen.append(asyncio.run(result) if inspect.iscoroutine(result) else result)

    task = app.task("x")(recording)
    assert ["n"] == app.runtime.handlers["x"].parameters.names
    with in_memory(app):
        task.send(n=1)
        app.send("x", {"n": 2})
        run_all(app, raise_errors=True)
    assert [("x", 1), ("x", 2)] == seen


def test_another_class_named_context_is_a_parameter_like_any_other(app):
    """Only cloudq's own Context is filled in, whatever the class is called."""
    namespace = executed(
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Context:\n    a: int\n"
        "def f(context: Context): return context.a",
    )
    task = app.task("x")(namespace["f"])
    assert ["context"] == app.runtime.handlers["x"].parameters.names
    assert {"context": {"a": 1}} == task.call(namespace["Context"](1)).payload


def test_a_context_that_does_not_lead_is_refused(app):
    """It would be taken from the payload."""

    def late(n: int, context: Context) -> None: ...

    with pytest.raises(TaskDefinitionError, match="isn't its first parameter"):
        app.task("x")(late)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"lease": 60}, "lease of task 'x' is a positive timedelta, not 60"),
        ({"time_limit": 1.5}, "time_limit of task 'x' is a positive timedelta"),
        ({"time_limit": timedelta(0)}, "positive"),
        ({"lease": -SECOND}, "positive"),
        ({"retry": 3}, "is a RetryPolicy, not 3"),
        ({"retries": 3}, "there is no task option 'retries'"),
        ({"idempotency_key": 5}, "is a text or a function"),
        ({"ordering_key": "{nobody}"}, "no parameter 'nobody'"),
    ],
    ids=shown,
)
def test_options_that_mean_nothing_are_refused_at_declaration(app, options, why):
    """What can be refused where it is written is."""
    with pytest.raises(TaskDefinitionError, match=why):
        app.task("x", **options)(plain)
    assert {} == dict(app.tasks)


@pytest.mark.parametrize("queue", ["", "-q", "a b", "q-dlq", "q-dlq.fifo", "x" * 257, 5, None, "a\n"])
def test_a_queue_that_is_none_is_refused_at_declaration(app, queue):
    """A task's queue has a name that a backend could have."""
    with pytest.raises(OptionError):
        app.task("x", queue=queue)(plain)


def test_a_tasks_own_policy_and_queue_come_before_the_apps(app):
    """What the task says wins; what it doesn't say is the app's, also if that is set later."""
    own = RetryPolicy()
    with_own = app.task("own", retry=own, queue="q")(plain)
    without = app.task("without")(plain)
    later = RetryPolicy()
    app.configure(retry=later, default_queue="later")
    assert own is app.runtime.handlers["own"].retry_policy
    assert later is app.runtime.handlers["without"].retry_policy
    assert ("q", "later") == (with_own.queue, without.queue)
    assert ["q", "later"] == app.runtime.declared_queues()
