"""Declaring tasks: names, signatures, options, and what is refused; calling them."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import cloudq
from cloudq import App, Context, Task
from cloudq.errors import OptionError, TaskDefinitionError
from cloudq.testing import in_memory, run_all, sent

SECOND = timedelta(seconds=1)


@pytest.fixture
def app() -> App:
    return App()


def plain(user_id: int, *, note: str = "none") -> str:
    """Says something."""
    return f"{user_id} {note}"


async def awaited(user_id: int) -> int:
    return user_id + 1


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bare_declaration_is_named_by_module_and_function(app):
    """`@app.task` gives `module.qualname`."""
    task = app.task(plain)
    assert isinstance(task, Task)
    assert f"{__name__}.plain" == task.name
    assert {task.name: task} == dict(app.tasks)


def test_a_declaration_with_empty_parentheses_is_a_bare_one(app):
    """`@app.task()` is `@app.task`."""
    assert f"{__name__}.plain" == app.task()(plain).name


def test_a_given_name_is_the_tasks_name(app):
    """`@app.task("shop.welcome")` names it."""
    assert "shop.welcome" == app.task("shop.welcome")(plain).name


def test_options_without_a_name_leave_the_name(app):
    """`@app.task(queue=...)` sets options and keeps the default name."""
    task = app.task(queue="mail", time_limit=SECOND)(plain)
    assert (f"{__name__}.plain", "mail") == (task.name, task.queue)
    assert app.runtime.handlers[task.name].time_limit == SECOND


def test_a_time_limit_travels_with_the_message(app):
    """A backend that pushes has to be told how long to wait, of a copy too; so the message says it."""
    task = app.task("shop.report", time_limit=timedelta(minutes=5))(plain)
    other = app.task("shop.other")(plain)
    with in_memory(app):
        task.send(1)
        app.send("shop.report", {"user_id": 1})
        other.send(1)
        app.send("not.declared.here")
        limits = [message.time_limit for message in sent(app)]
    assert [timedelta(minutes=5), timedelta(minutes=5), None, None] == limits


def test_options_beside_a_function_are_not_lost(app):
    """`app.task(function, queue=...)` declares with the options."""
    assert "mail" == app.task(plain, queue="mail").queue


def test_name_and_options_go_together(app):
    """A name and options may be given at once."""
    task = app.task("n", queue="q")(plain)
    assert ("n", "q") == (task.name, task.queue)


def test_a_name_is_positional_and_the_error_says_so(app):
    """`name=` is refused with the spelling that works."""
    with pytest.raises(TaskDefinitionError, match="'name'") as caught:
        app.task(name="x")(plain)
    assert caught.value.hint == 'the name goes first: @cloudq.task("shop.welcome")'


def test_a_local_function_needs_a_name(app):
    """A local function's default name would mean nothing to a worker; a given one does."""

    def local() -> None: ...

    with pytest.raises(TaskDefinitionError, match="is local") as caught:
        app.task(local)
    assert "@cloudq.task(" in caught.value.hint
    assert "ok" == app.task("ok")(local).name


def test_a_lambda_needs_a_name_and_works_with_one(app):
    """A lambda is a function without a name."""
    with pytest.raises(TaskDefinitionError, match="is local"):
        app.task(lambda x: x)
    assert 3 == app.task("identity")(lambda x: x)(3)


def test_two_functions_of_one_name_are_refused_naming_both_places(app):
    """A duplicate names the file and line of both."""

    def one() -> None: ...
    def two() -> None: ...

    app.task("same")(one)
    with pytest.raises(TaskDefinitionError) as caught:
        app.task("same")(two)
    for function in (one, two):
        assert f"{__file__}:{function.__code__.co_firstlineno}" in str(caught.value)


def test_an_alias_that_is_taken_is_refused(app):
    """An alias is a name like any other."""
    app.task("a")(plain)
    with pytest.raises(TaskDefinitionError, match="'a' is declared twice"):
        app.task("b", aliases=["a"])(awaited)
    assert ["a"] == list(app.tasks), "the refused task left nothing behind"


def test_the_same_place_again_is_the_same_declaration(app):
    """A module that is reloaded replaces its own tasks."""
    first = app.task("again")(plain)
    second = app.task("again", queue="other")(plain)
    assert first is not second
    assert "other" == app.tasks["again"].queue


def test_aliases_keep_messages_of_the_old_name_valid(app):
    """A message that names an alias runs the task."""
    ran = []

    @app.task("new", aliases=["old", "older"])
    def renamed(n: int) -> None:
        ran.append(n)

    assert ["new"] == list(app.tasks)
    with in_memory(app):
        in_flight = App()  # a program that still has the old name
        with in_flight.using(app.driver(), clock=app.clock):
            in_flight.send("old", {"n": 1})
        app.send("older", {"n": 2})
        assert ["old", "new"] == [message.task for message in sent(app)], "by name it is sent under its present one"
        run_all(app)
    assert [1, 2] == ran


def run_script(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


SCRIPT = """
import cloudq
app = cloudq.App("memory://")

@app.task
def welcome(user_id: int) -> None: ...

if __name__ == "__main__":
    print(welcome.name)
"""


@pytest.mark.slow
def test_a_script_names_its_tasks_as_a_worker_would_import_them(tmp_path):
    """`python tasks.py` gives `tasks.welcome`, `python -m shop.tasks` gives `shop.tasks.welcome`."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").write_text(SCRIPT)
    (tmp_path / "tasks.py").write_text(SCRIPT)
    assert "tasks.welcome" == run_script(tmp_path, "tasks.py")
    assert "tasks.welcome" == run_script(tmp_path, "shop/../tasks.py")
    assert "shop.tasks.welcome" == run_script(tmp_path, "-m", "shop.tasks")


@pytest.mark.slow
def test_a_script_that_is_imported_under_its_own_name_declares_its_tasks_once(tmp_path):
    """A script that another module imports back declares the same tasks at the same place: no duplicate."""
    (tmp_path / "shared.py").write_text('import cloudq\napp = cloudq.App("memory://")\n')
    (tmp_path / "tasks.py").write_text(
        "from shared import app\n"
        "@app.task\n"
        "def welcome() -> None: ...\n"
        'if __name__ == "__main__":\n'
        "    import tasks\n"
        "    print(list(app.tasks))\n"
    )
    (tmp_path / "x").mkdir()
    assert "['tasks.welcome']" == run_script(tmp_path, "tasks.py")
    assert "['tasks.welcome']" == run_script(tmp_path, "x/../tasks.py")


@pytest.mark.slow
def test_a_script_keeps_its_tasks_names_in_spawned_processes(tmp_path):
    """multiprocessing imports the script as `__mp_main__`, which no worker knows."""
    (tmp_path / "tasks.py").write_text(
        SCRIPT.replace(
            "    print(welcome.name)",
            "    import multiprocessing\n"
            "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
            "        print(pool.apply(name))",
        ).replace("if __name__", "def name() -> str:\n    return welcome.name\n\nif __name__")
    )
    assert "tasks.welcome" == run_script(tmp_path, "tasks.py")


@pytest.mark.slow
def test_tasks_that_no_worker_could_import_need_a_name(tmp_path):
    """Neither `python -c` nor a folder that is run has an import name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(SCRIPT)
    for arguments in (["-c", SCRIPT], ["folder"]):
        result = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert 1 == result.returncode
        assert "a worker can't import that" in result.stderr


# ── what can be a task ───────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_no_function_to_be_declared_again(app):
    """A task of another app is declared again through its function."""
    task = app.task(plain)
    other = App()
    with pytest.raises(TaskDefinitionError, match="a task already") as caught:
        other.task("x")(task)
    assert "__wrapped__" in caught.value.hint
    assert other is other.task("x")(task.__wrapped__).app


@pytest.mark.parametrize("given", [5, b"name", None])
def test_only_a_function_or_a_name_declares(app, given):
    """What is neither is refused at once, or makes a decorator without a name (`None`)."""
    if given is None:
        assert callable(app.task(given))
        return
    with pytest.raises(TaskDefinitionError, match="from a function or a name"):
        app.task(given)


# ── calling and looking at a task ────────────────────────────────────────────────────────────────────────


def test_a_task_is_called_like_its_function(app):
    """Calling runs the function here and now."""
    task = app.task(plain)
    assert "1 x" == task(1, note="x")
    assert 2 == asyncio.run(app.task(awaited)(1))


def test_a_direct_call_fills_in_a_context(app):
    """Outside of a run it is an empty one; within a run it is the run's."""

    @app.task("inner")
    def inner(context: Context) -> str:
        return context.id

    seen = []

    @app.task("outer")
    def outer(context: Context) -> None:
        seen.append((context.id, inner()))

    assert "direct-call" == inner()
    with in_memory(app):
        message = outer.send()
        run_all(app)
    assert [(message.id, message.id)] == seen


def test_a_task_shows_its_functions_documentation(app):
    """`help` and `inspect` see the function."""
    task = app.task(plain)
    assert "Says something." == task.__doc__
    assert inspect.signature(plain) == inspect.signature(task)
    assert f"Task('{__name__}.plain')" == repr(task)


def test_a_call_shows_its_task_and_not_its_payload(app):
    """A payload may hold what no log should."""
    call = app.task("x")(plain).call(1, note="secret")
    assert "Call(task='x')" == repr(call)


# ── options of a send, on the task ───────────────────────────────────────────────────────────────────────


def test_options_make_a_variant_and_leave_the_task(app):
    """`options()` gives another Task of the same definition."""
    task = app.task("x", queues=["default", "other"])(plain)
    with in_memory(app):
        task.options(headers={"a": "1"}).options(queue="other").send(1)
        task.send(2)
        first, second = sent(app)
    assert ({"a": "1"}, "other") == (first.headers, first.queue)
    assert ({}, "default") == (second.headers, second.queue)


def test_delay_and_at_exclude_each_other_across_variants(app):
    """The second of the two is refused, whichever comes first."""
    task = app.task("x")(plain)
    moment = app.clock.now()
    with pytest.raises(OptionError, match="at was given before"):
        task.options(at=moment).options(delay=SECOND)
    with pytest.raises(OptionError, match="delay was given before"):
        task.options(delay=SECOND).options(at=moment)


def test_the_module_level_task_belongs_to_the_default_app():
    """`@cloudq.task` declares on the default App."""
    from cloudq.default_app import default

    task = cloudq.task(f"{__name__}.on the default")(plain)
    assert default is task.app
