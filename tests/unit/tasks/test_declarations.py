"""The same declaration again takes the first one's place; two functions of one name are refused."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cloudq
from cloudq import App, TaskDefinitionError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the module `declared_here`, newer each time."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "declared_here.py"
    written = iter(range(1, 100))

    def write(text: str) -> None:
        file.write_text(text)
        moment = file.stat().st_mtime + 10 * next(written)
        os.utime(file, (moment, moment))

    yield write
    sys.modules.pop("declared_here", None)


TASKS = "from declared_app import app\n@app.task\ndef job(x: int) -> int: return 1\n"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """An app in a module of its own."""
    made = App()
    monkeypatch.setitem(sys.modules, "declared_app", type(sys)("declared_app"))
    sys.modules["declared_app"].app = made  # type: ignore[attr-defined]  # that is how modules are made by hand
    return made


def test_a_reload_after_an_edit_takes_the_old_ones_place(app: App, module: Callable[[str], None]) -> None:
    """Though its lines have moved."""
    module(TASKS)
    importlib.import_module("declared_here")
    module("# a comment\n" + TASKS.replace("return 1", "return 2"))
    found = importlib.reload(sys.modules["declared_here"])
    assert 2 == app.tasks["declared_here.job"](1) == found.job(1)


def test_two_functions_of_one_name_in_one_module_are_refused(app: App, module: Callable[[str], None]) -> None:
    """The second is a slip, and both places are named."""
    module(TASKS + TASKS)
    with pytest.raises(TaskDefinitionError, match=r"declared twice: at .*:2 and at .*:5"):
        importlib.import_module("declared_here")


def test_a_cell_that_runs_again_takes_its_own_place(app: App) -> None:
    """Each run has a file name of its own."""
    cell = "@app.task('job')\ndef job(x: int) -> int: return {result}\n"
    for result in (1, 2):
        code = compile(cell.format(result=result), f"<cell {result}>", "exec")
        exec(code, {"app": app, "__name__": "notebook"})  # noqa: S102 - as a notebook does
    assert 2 == app.tasks["job"](1)


def test_two_functions_of_a_factory_under_one_name_are_refused() -> None:
    """They stand in the same place, and are two tasks."""
    app = App()

    def make(factor: int) -> Any:
        @app.task("scale")
        def scale(x: int) -> int:
            return x * factor

        return scale

    make(2)
    with pytest.raises(TaskDefinitionError, match="declared twice"):
        make(3)


def test_one_function_may_be_declared_again() -> None:
    """The very same one."""
    app = App()

    def job() -> None: ...

    app.task("job")(job)
    app.task("job")(job)
    assert ["job"] == list(app.tasks)


def test_a_script_that_defines_a_name_twice_is_refused(tmp_path: Path) -> None:
    """As a module is."""
    script = tmp_path / "script.py"
    script.write_text("import cloudq\n" + 2 * "@cloudq.task\ndef job(): ...\n")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "declared twice" in ended.stderr


# ── a task is called what its function is called ─────────────────────────────────────────────────────────

app_of_this_module = App()


@app_of_this_module.task
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


def test_a_task_has_its_functions_names() -> None:
    """For whatever names a callable."""
    assert ("double", "double", __name__, "Twice as much.") == (
        double.__name__,
        double.__qualname__,
        double.__module__,
        double.__doc__,
    )


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - what this process has just written


def test_a_task_is_pickled_by_its_name(app: App, module: Callable[[str], None]) -> None:
    """The task, its bound methods, a variant, and a call."""
    module(TASKS)
    job = importlib.import_module("declared_here").job
    assert job is through_pickle(job)
    assert 1 == through_pickle(job.__call__)(2)
    variant = through_pickle(job.options(queue="mail"))
    assert ("mail", {"x": 1}) == (variant.call(x=1).options["queue"], variant.call(x=1).payload)
    call = through_pickle(job.call(x=1))
    assert (job, {"x": 1}) == (call.task, call.payload)


def test_a_deep_copy_is_the_task_itself() -> None:
    """As a function's is."""
    assert double is copy.deepcopy(double)
    assert [double] == copy.deepcopy([double])


def test_the_default_apps_functions_are_named_too() -> None:
    """Declared by the package's own decorator."""

    @cloudq.task("named")
    def named() -> None: ...

    assert "named" == named.__name__
