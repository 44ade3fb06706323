"""The same declaration again takes the first one's place; two functions of one name are refused."""

from __future__ import annotations

import asyncio
import copy
import functools
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


def refusal(declare: Callable[[], Any]) -> str:
    """Why it is refused; nothing if it isn't."""
    try:
        declare()
    except TaskDefinitionError as error:
        return str(error)
    return ""


EDITED = {
    "moved": "# a comment\n" + TASKS.replace("return 1", "return 2"),
    "with an option": "from declared_app import app\n\n@app.task(queue='mail')\ndef job(x: int) -> int: return 2\n",
    "below another task": "from declared_app import app\n@app.task\ndef first(): ...\n@app.task\n"
    "def job(x: int) -> int: return 2\n",
    "under its own name": "from declared_app import app\n\n\n@app.task('declared_here.job')\ndef job(x): return 2\n",
    "async": TASKS.replace("@app.task\ndef", "\n@app.task\nasync def").replace("return 1", "return 2"),
}


@pytest.mark.parametrize("edited", EDITED.values(), ids=EDITED)
@pytest.mark.parametrize("way", ["reload", "import"])
def test_whatever_was_edited_a_module_may_be_read_anew(
    app: App, module: Callable[[str], None], edited: str, way: str
) -> None:
    """By `importlib.reload`, or by an import after it was taken out of `sys.modules`, as autoreloaders do."""
    module(TASKS)
    first = importlib.import_module("declared_here")
    module(edited)
    importlib.invalidate_caches()
    if way == "reload":
        assert "" == refusal(lambda: importlib.reload(first))
    else:
        del sys.modules["declared_here"]
        assert "" == refusal(lambda: importlib.import_module("declared_here"))
    result = app.tasks["declared_here.job"](1)
    assert 2 == (result if isinstance(result, int) else asyncio.run(result))


def test_a_reload_after_an_edit_takes_the_old_ones_place(app: App, module: Callable[[str], None]) -> None:
    """Though its lines have moved."""
    module(TASKS)
    importlib.import_module("declared_here")
    module("# a comment\n" + TASKS.replace("return 1", "return 2"))
    assert "" == refusal(lambda: importlib.reload(sys.modules["declared_here"]))
    found = sys.modules["declared_here"]
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
        # As a notebook does.
        assert "" == refusal(lambda code=code: exec(code, {"app": app, "__name__": "notebook"}))  # type: ignore[misc]  # noqa: S102
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


@pytest.mark.parametrize("way", ["one import", "two files"])
def test_what_only_looks_like_an_import_anew_is_refused(
    app: App, module: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A slip within one module, and another module that took the first one's name."""
    module(TASKS)
    importlib.import_module("declared_here")
    del sys.modules["declared_here"]
    if way == "one import":
        module(TASKS + TASKS)
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "declared_here.py").write_text("\n" + TASKS)
        monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    importlib.invalidate_caches()
    assert "declared twice" in refusal(lambda: importlib.import_module("declared_here"))


def scales(app: App) -> Callable[[int], Any]:
    def make(factor: int) -> Any:
        @app.task("scale")
        async def scale(x: int) -> int:
            return x * factor

        return scale

    return make


def lambdas(app: App) -> Callable[[int], Any]:
    return lambda factor: app.task("scale")(lambda x: x * factor)


def wrapped(app: App) -> Callable[[int], Any]:
    def make(factor: int) -> Any:
        def scale(x: int) -> int:
            return x * factor

        @functools.wraps(scale)
        def wrapper(x: int) -> int:
            return scale(x)

        return app.task("scale")(wrapper)

    return make


def by_alias(app: App) -> Callable[[int], Any]:
    def make(factor: int) -> Any:
        @app.task(f"scale-{factor}", aliases=["scale"])
        def scale(x: int) -> int:
            return x * factor

        return scale

    return make


def in_a_class(app: App) -> Callable[[int], Any]:
    def make(factor: int) -> Any:
        class Scales:
            @app.task("scale")
            @staticmethod
            def scale(x: int) -> int:
                return x * factor

        return Scales.scale

    return make


@pytest.mark.parametrize("factory", [scales, lambdas, wrapped, by_alias, in_a_class])
def test_whatever_a_factory_makes_is_two_tasks(factory: Callable[[App], Callable[[int], Any]]) -> None:
    """Under one name or alias the second is refused, and the first stays what it was."""
    app = App()
    make = factory(app)
    first = make(2)
    assert "declared twice" in refusal(lambda: make(3))
    assert [first] == list(app.tasks.values())


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
    try:
        return pickle.loads(pickle.dumps(value))  # noqa: S301 - what this process has just written
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        return error


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
