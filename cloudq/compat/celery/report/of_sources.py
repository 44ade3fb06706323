"""Reading a program's sources: what it asks of Celery where no object tells. Nothing of them is run."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from cloudq.compat.celery.call_options import REQUEST_FIELDS
from cloudq.compat.celery.report.assigned import assigned
from cloudq.compat.celery.report.findings import Finding, found, judged
from cloudq.compat.celery.report.imports import imported
from cloudq.compat.celery.report.literals import value_of
from cloudq.compat.celery.report.of_app import NO_WARNING, ends_before
from cloudq.compat.celery.report.sends import Sends, is_self, is_signature
from cloudq.compat.celery.task_options import TASK_METHODS, TASK_OPTIONS
from cloudq.compat.celery.verdicts import Verdict, maps, refused

MOST_FILES: Final = 20_000
MOST_BYTES: Final = 2_000_000
_NOT_OURS: Final = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist", "venv", "env"})
_CANVAS: Final = frozenset({"chain", "group", "chord", "chunks", "xmap", "xstarmap"})
_NO_CANVAS: Final = refused("a task that is done sends the next one; many calls go by app.cloudq.send_many([...])")
_NO_CONTROL: Final = refused("cloudq.cancel_run(id), `cloudq pause`, `cloudq top`")
_NO_BEAT: Final = refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time")
_NO_ANY: Final = refused("a payload names its arguments: declare it as a list")
_NO_ASYNC: Final = refused("declare it with @cloudq.task")
_A_TASK: Final = maps("a task of the same name")
_APPS: Final = frozenset({"app", "celery", "celery_app", "current_app"})
# Of a task; other objects have some of them, too.
_ON_MANY: Final = frozenset({"map", "starmap", "chunks"})
_CALLBACKS: Final = frozenset({"link", "link_error", "on_error"})
# An app's object doesn't tell whether somebody asked for it: it is what Celery does anyway, and not what is done here.
_UNTOLD: Final = frozenset({"acks_late"})


def source_files(folder: Path) -> list[Path]:
    """The Python files of a program: none of an environment, a build, or a hidden folder. At most `MOST_FILES`."""
    files: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NOT_OURS and not (Path(here) / name / "pyvenv.cfg").exists()
        )
        files += [Path(here) / name for name in sorted(names) if name.endswith(".py")]
        if len(files) >= MOST_FILES:
            break
    return files[:MOST_FILES]


def tasks_in(file: Path) -> set[str]:
    """The names of the functions that a file declares as tasks. None of one that can't be read."""
    try:
        text = file.read_bytes() if file.stat().st_size <= MOST_BYTES else b""
        tree = ast.parse(text if b"task" in text else b"")
    except (OSError, ValueError, SyntaxError, RecursionError):
        return set()
    return _tasks_in(tree)


def _tasks_in(tree: ast.Module) -> set[str]:
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {node.name for node in functions if _declares(node) is not None}


def of_source(file: Path, shown: str, *, declarations: bool, tasks: Collection[str] = ()) -> Iterator[Finding]:
    """What one file asks of Celery.

    Args:
        file: The file.
        shown: Its name in the findings.
        declarations: Whether decorators and settings are looked at: not where the app's object has told of them.
        tasks: The names of tasks that other files declare.

    Raises:
        ValueError: It can't be read as Python.
        OSError: It can't be read.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    tree = ast.parse(file.read_bytes())
    yield from _Reader(tree, shown, declarations=declarations, tasks=tasks).read()


class _Reader:
    def __init__(self, tree: ast.Module, shown: str, *, declarations: bool, tasks: Collection[str]) -> None:
        self._tree = tree
        self._tasks = {*tasks, *_tasks_in(tree)}
        self._sends = Sends(tree)
        self._shown = shown
        self._declarations = declarations
        self._canvas: set[str] = set()
        self._has_celery = False

    def read(self) -> Iterator[Finding]:
        tree = self._tree
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._import(node)
        for node in ast.walk(tree):
            yield from self._node(node)
        if self._declarations:
            yield from assigned(tree, self._shown)

    def _at(self, node: Any) -> str:
        return f"{self._shown}:{node.lineno}"

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
        if isinstance(node, ast.ImportFrom) and node.module in {"celery", "celery.canvas"} and not node.level:
            self._canvas |= {name.asname or name.name for name in node.names if name.name in _CANVAS}
        for name, entry in imported(node):
            self._has_celery = True
            yield found("import", name, entry, self._at(node))

    def _node(self, node: ast.AST) -> Iterator[Finding]:
        if isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            if any(is_signature(side) for side in (node.left, node.right)):
                yield found("canvas", "chain", _NO_CANVAS, self._at(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if (decorator := _declares(node)) is not None:
                yield from self._declared(node, decorator)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node)

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        function, at = node.func, self._at(node)
        yield from self._sends.read(node, at, has_celery=self._has_celery)
        if isinstance(function, ast.Name) and function.id in self._canvas:
            yield found("canvas", function.id, _NO_CANVAS, at)
        if not isinstance(function, ast.Attribute):
            return
        of = ast.unparse(function.value)
        by_module = function.attr in _CANVAS and of in {"celery", "celery.canvas"}
        on_many = function.attr in _ON_MANY and (
            _name_of(function.value) in self._tasks or (function.attr != "map" and self._has_celery)
        )
        if by_module or on_many or (function.attr in _CALLBACKS and is_signature(function.value)):
            yield found("canvas", function.attr, _NO_CANVAS, at)
        elif function.attr == "connect" and of.endswith(("on_after_configure", "on_after_finalize")):
            yield found("app", of.rpartition(".")[2], _NO_BEAT, at)
        elif function.attr == "add_periodic_task":
            yield found("schedule", "add_periodic_task", _NO_BEAT, at)

    def _attribute(self, node: ast.Attribute, *, in_task: bool = False) -> Iterator[Finding]:
        value = node.value
        if isinstance(value, ast.Attribute) and value.attr == "request" and is_self(value.value):
            entry = REQUEST_FIELDS.get(node.attr)
            if (self._has_celery or in_task) and entry is not None and entry.verdict is not Verdict.MAPS:
                yield found("request", f"request.{node.attr}", entry, self._at(node))
        elif (
            isinstance(value, ast.Attribute) and value.attr == "control" and (self._has_celery or _is_app(value.value))
        ):
            yield found("app", f"control.{node.attr}", _NO_CONTROL, self._at(node))

    def _declared(self, node: ast.FunctionDef | ast.AsyncFunctionDef, decorator: ast.expr) -> Iterator[Finding]:
        """A task: its options, unless the app's object has told them, and what its body asks of `self`."""
        for word in decorator.keywords if isinstance(decorator, ast.Call) else ():
            value = value_of(word.value)
            told = not self._declarations and not (word.arg in _UNTOLD and value is False)
            if word.arg is not None and word.arg in TASK_OPTIONS and not told:
                yield judged("task option", TASK_OPTIONS, word.arg, value, self._at(node))
        if self._declarations:
            yield found("task", "task", _A_TASK, self._at(node))
            said = {word.arg: value_of(word.value) for word in getattr(decorator, "keywords", ())}
            if ends_before(said.get("time_limit"), said.get("soft_time_limit")):
                yield found("task option", "time_limit before soft_time_limit", NO_WARNING, self._at(node))
            if node.args.vararg is not None:
                yield found("task", "*args", _NO_ANY, self._at(node))
            if isinstance(node, ast.AsyncFunctionDef):
                yield found("task", "async def", _NO_ASYNC, self._at(node))
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                yield from self._attribute(part, in_task=True)
            if isinstance(part, ast.Attribute) and is_self(part.value):
                entry = TASK_METHODS.get(part.attr)
                if entry is not None and entry.verdict is Verdict.REFUSED:
                    yield found("task", f"self.{part.attr}", entry, self._at(part))


def _is_app(node: ast.expr) -> bool:
    return _name_of(node) in _APPS


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _declares(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.expr | None:
    """The decorator that makes a function a task: `@app.task`, `@shared_task(...)`."""
    for decorator in node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in {"task", "shared_task", "periodic_task"}:
            return decorator
    return None
