"""Reading a program's sources: what it asks of Celery where no object tells. Nothing of them is run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cloudq.compat.celery.call_options import CALL_OPTIONS, REQUEST_FIELDS, RETRY_OPTIONS
from cloudq.compat.celery.report.assigned import assigned
from cloudq.compat.celery.report.findings import UNKNOWN, Finding, found, judged
from cloudq.compat.celery.report.imports import imported
from cloudq.compat.celery.task_options import TASK_METHODS, TASK_OPTIONS
from cloudq.compat.celery.verdicts import Verdict, maps, refused

MOST_FILES: Final = 20_000
MOST_BYTES: Final = 2_000_000
_NOT_OURS: Final = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist", "venv", "env"})
_CANVAS: Final = frozenset({"chain", "group", "chord", "chunks", "xmap", "xstarmap"})
_NO_CANVAS: Final = refused("a task that is done sends the next one; many calls go by app.cloudq.send_many([...])")
_NO_CONTROL: Final = refused("cloudq.cancel_run(id), `cloudq pause`, `cloudq top`")
_NO_BEAT: Final = refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time")
_NO_KILL: Final = refused("a task sees context.cancelled; none is killed")
_NO_ANY: Final = refused("a payload names its arguments: declare it as a list")
_NO_ASYNC: Final = refused("declare it with @cloudq.task")
_STAYS: Final = refused("the message stays as it was sent")
_A_TASK: Final = maps("a task of the same name")
_SENDS: Final = frozenset({"apply_async", "send_task", "apply_async_on_commit"})
_APPS: Final = frozenset({"app", "celery", "celery_app", "current_app"})
_POOLS: Final = frozenset({"callback", "error_callback", "func", "kwds"})  # multiprocessing's apply_async
_SIGNATURES: Final = frozenset({"s", "si", "signature", "subtask"})
_CALLBACKS: Final = frozenset({"link", "link_error", "on_error"})
_OF_A_SIGNATURE: Final = frozenset({"args", "kwargs", "options", "immutable"})
# An app's object doesn't tell whether somebody asked for it: it is what Celery does anyway, and not what is done here.
_UNTOLD: Final = frozenset({"acks_late"})
_OF_A_RETRY: Final = frozenset({"exc", "countdown", "eta", "max_retries", "throw"})


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


def of_source(file: Path, shown: str, *, declarations: bool) -> Iterator[Finding]:
    """What one file asks of Celery.

    Args:
        file: The file.
        shown: Its name in the findings.
        declarations: Whether decorators and settings are looked at: not where the app's object has told of them.

    Raises:
        ValueError: It can't be read as Python.
        OSError: It can't be read.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    tree = ast.parse(file.read_bytes())
    yield from _Reader(shown, declarations=declarations).read(tree)


class _Reader:
    def __init__(self, shown: str, *, declarations: bool) -> None:
        self._shown = shown
        self._declarations = declarations
        self._canvas: set[str] = set()
        self._has_celery = False

    def read(self, tree: ast.Module) -> Iterator[Finding]:
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
            if any(_is_signature(side) for side in (node.left, node.right)):
                yield found("canvas", "chain", _NO_CANVAS, self._at(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if (decorator := _declares(node)) is not None:
                yield from self._declared(node, decorator)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node)

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        function, at = node.func, self._at(node)
        if isinstance(function, ast.Name) and function.id in self._canvas:
            yield found("canvas", function.id, _NO_CANVAS, at)
        if not isinstance(function, ast.Attribute):
            return
        given = {word.arg: _value(word.value) for word in node.keywords if word.arg is not None}
        if function.attr == "send_task":
            given.pop("name", None)  # the task's
        yield from self._options(function, given, at)
        of = ast.unparse(function.value)
        by_module = function.attr in _CANVAS and of in {"celery", "celery.canvas"}
        on_many = function.attr in {"chunks", "starmap"} and self._has_celery
        if by_module or on_many or (function.attr in _CALLBACKS and _is_signature(function.value)):
            yield found("canvas", function.attr, _NO_CANVAS, at)
        elif function.attr == "connect" and of.endswith(("on_after_configure", "on_after_finalize")):
            yield found("app", of.rpartition(".")[2], _NO_BEAT, at)
        elif function.attr == "add_periodic_task":
            yield found("schedule", "add_periodic_task", _NO_BEAT, at)

    def _options(self, function: ast.Attribute, given: dict[str, Any], at: str) -> Iterator[Finding]:
        """Those of what sends, tries again or revokes."""
        if function.attr in _SENDS and not _POOLS & given.keys():
            for name, value in given.items():
                yield judged("call", CALL_OPTIONS, name, value, at)
        elif function.attr == "set" and _is_signature(function.value):
            for name in given.keys() - _OF_A_SIGNATURE:
                yield judged("call", CALL_OPTIONS, name, given[name], at)
        elif function.attr in {"signature", "subtask"} and self._has_celery:
            for name in (given.keys() & CALL_OPTIONS.keys()) - _OF_A_SIGNATURE:
                yield judged("call", CALL_OPTIONS, name, given[name], at)
        elif function.attr == "retry" and (_is_self(function.value) or _OF_A_RETRY & given.keys()):
            for name, value in given.items():
                entry = RETRY_OPTIONS.get(name, _STAYS)
                yield found("retry", name, entry, at, value)
        elif function.attr == "revoke" and {"terminate", "signal"} & given.keys():
            yield found("call", "revoke(terminate)", _NO_KILL, at)

    def _attribute(self, node: ast.Attribute, *, in_task: bool = False) -> Iterator[Finding]:
        value = node.value
        if isinstance(value, ast.Attribute) and value.attr == "request" and _is_self(value.value):
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
            value = _value(word.value)
            told = not self._declarations and not (word.arg in _UNTOLD and value is False)
            if word.arg is not None and word.arg in TASK_OPTIONS and not told:
                yield judged("task option", TASK_OPTIONS, word.arg, value, self._at(node))
        if self._declarations:
            yield found("task", "task", _A_TASK, self._at(node))
            if node.args.vararg is not None:
                yield found("task", "*args", _NO_ANY, self._at(node))
            if isinstance(node, ast.AsyncFunctionDef):
                yield found("task", "async def", _NO_ASYNC, self._at(node))
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                yield from self._attribute(part, in_task=True)
            if isinstance(part, ast.Attribute) and _is_self(part.value):
                entry = TASK_METHODS.get(part.attr)
                if entry is not None and entry.verdict is Verdict.REFUSED:
                    yield found("task", f"self.{part.attr}", entry, self._at(part))


def _is_app(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in _APPS


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _is_signature(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SIGNATURES


def _declares(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.expr | None:
    """The decorator that makes a function a task: `@app.task`, `@shared_task(...)`."""
    for decorator in node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in {"task", "shared_task", "periodic_task"}:
            return decorator
    return None


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
