"""Settings that a program's sources set: for a program whose app isn't there to tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from cloudq.compat.celery.report.findings import Finding, found
from cloudq.compat.celery.report.literals import value_of
from cloudq.compat.celery.report.of_app import setting
from cloudq.compat.celery.setting_names import SETTINGS, of_result_backends

_NAMESPACE: Final = "CELERY_"
# Of names that nothing else has: a mapping with one of them, or a module, is one of settings.
_MARKS: Final = ("broker_", "task_", "worker_", "beat_", "result_")
_ARGUMENTS: Final = {"broker": "broker_url", "backend": "result_backend", "include": "include"}


def assigned(tree: ast.Module, shown: str) -> Iterator[Finding]:
    """The settings that a file sets, or looks at, each with its line.

    Args:
        tree: The file.
        shown: Its name in the findings.
    """
    for node in ast.walk(tree):
        for name, value in _pairs(node):
            yield from _setting(name, value, f"{shown}:{value.lineno}")


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if (name := _named_by(target)) is not None:
                yield name, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        if (name := _named_by(node.target)) is not None:
            yield name, node.value
    elif isinstance(node, ast.Dict):
        names = [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        if any(name in SETTINGS and name.startswith(_MARKS) for name in names):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in SETTINGS:
                    yield str(key.value), value
    elif isinstance(node, ast.Call):
        yield from _given(node)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _is_a_look(node):
        yield node.attr, node


def _given(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """To `Celery(...)`, or to `app.conf.update(...)`."""
    function = node.func
    makes = isinstance(function, ast.Name) and function.id == "Celery"
    updates = isinstance(function, ast.Attribute) and function.attr == "update" and _is_conf(function.value)
    for word in node.keywords if makes or updates else ():
        name = word.arg or ""
        name = _ARGUMENTS.get(name, name) if makes else name
        if name in SETTINGS:
            yield name, word.value


def _named_by(target: ast.expr) -> str | None:
    """The setting that an assignment sets, if it is one."""
    if isinstance(target, ast.Attribute) and _is_conf(target.value):
        return target.attr if target.attr in SETTINGS or of_result_backends(target.attr) else None
    if not isinstance(target, ast.Name):
        return None
    if target.id.startswith(_NAMESPACE):
        name = target.id.removeprefix(_NAMESPACE).lower()
        return name if name in SETTINGS or of_result_backends(name) else None
    return target.id if target.id in SETTINGS and target.id.startswith(_MARKS) else None


def _is_a_look(node: ast.Attribute) -> bool:
    return node.attr in SETTINGS and _is_conf(node.value)


def _is_conf(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "conf"


def _setting(name: str, node: ast.expr, place: str) -> Iterator[Finding]:
    if name == "beat_schedule" and isinstance(node, ast.Dict):
        for key in node.keys:
            entry = str(key.value) if isinstance(key, ast.Constant) else "an entry"
            yield found("schedule", entry, SETTINGS[name], place)
        return
    yield from setting(name, value_of(node), place)
