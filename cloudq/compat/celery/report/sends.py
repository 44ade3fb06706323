"""Calls that send, try again or revoke: the options that they are given, however they are given."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloudq.compat.celery.call_options import CALL_OPTIONS, RETRY_OPTIONS
from cloudq.compat.celery.report.findings import UNKNOWN, Finding, found, judged
from cloudq.compat.celery.report.literals import value_of
from cloudq.compat.celery.verdicts import changes, refused

SIGNATURES: Final = frozenset({"s", "si", "signature", "subtask"})
_SENDS: Final = frozenset({"apply_async", "send_task", "apply_async_on_commit"})
_CALL_LATER: Final = frozenset({"partial", "submit", "to_thread"})
_POOLS: Final = frozenset({"callback", "error_callback", "func", "kwds"})  # multiprocessing's apply_async
_OF_A_SIGNATURE: Final = frozenset({"args", "kwargs", "options", "immutable"})
_OF_A_RETRY: Final = frozenset({"exc", "countdown", "eta", "max_retries", "throw"})
# What may be given by position, in Celery's order; here it has to have its name.
_BY_POSITION: Final[Mapping[str, tuple[str, ...]]] = {
    "apply_async": ("args", "kwargs", "task_id", "producer", "link", "link_error", "shadow"),
    "send_task": ("name", "args", "kwargs", "countdown", "eta", "task_id", "producer", "connection", "router"),
}
_NAMED: Final = refused("give it by its name: by position there are only args and kwargs")
_UNTOLD: Final = changes("only the program tells which options these are: one that can't be honoured is refused there")
_NO_KILL: Final = refused("a task sees context.cancelled; none is killed")
_STAYS: Final = refused("the message stays as it was sent")


def is_signature(node: ast.expr) -> bool:
    """Whether it makes one: `add.s(1)`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SIGNATURES


def is_self(node: ast.expr) -> bool:
    """Whether it is the task that runs."""
    return isinstance(node, ast.Name) and node.id == "self"


class Sends:
    """Reads the calls of one file.

    Args:
        tree: The file: mappings that it makes are known by their names.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._mappings = _mappings_in(tree)

    def read(self, node: ast.Call, at: str, *, has_celery: bool) -> Iterator[Finding]:
        """What one call asks for.

        Args:
            node: The call.
            at: Where it is.
            has_celery: Whether the file imports Celery.
        """
        function, words = node.func, self._words(node)
        if _name_of(function) in _CALL_LATER:
            sends = [arg for arg in node.args[:1] if isinstance(arg, ast.Attribute) and arg.attr in _SENDS]
            for one in sends:
                yield from self._options(one, words, at, by_position=node.args[1:])
        if not isinstance(function, ast.Attribute):
            return
        if function.attr in _SENDS:
            yield from self._options(function, words, at, by_position=node.args)
        elif function.attr == "set" and is_signature(function.value):
            yield from _judged(words, at, words.keys() - _OF_A_SIGNATURE)
        elif function.attr in {"signature", "subtask"} and has_celery:
            yield from _judged(words, at, (words.keys() & CALL_OPTIONS.keys()) - _OF_A_SIGNATURE)
        elif function.attr == "retry" and (is_self(function.value) or _OF_A_RETRY & words.keys()):
            for name, value in words.items():
                entry = _UNTOLD if name.startswith("**") else RETRY_OPTIONS.get(name, _STAYS)
                yield found("retry", name, entry, at, value)
        elif function.attr == "revoke" and {"terminate", "signal"} & words.keys():
            yield found("call", "revoke(terminate)", _NO_KILL, at)

    def _options(
        self, function: ast.Attribute, words: dict[str, Any], at: str, *, by_position: list[ast.expr]
    ) -> Iterator[Finding]:
        of_a_pool = "pool" in ast.unparse(function.value).lower() or bool(_POOLS & words.keys())
        if of_a_pool:
            return
        if function.attr == "send_task":
            words.pop("name", None)  # the task's
        yield from _judged(words, at, words.keys())
        names = _BY_POSITION.get(function.attr, ())
        known = 3 if function.attr == "send_task" else 2
        if not any(isinstance(argument, ast.Starred) for argument in by_position):
            for name in names[known : len(by_position)]:
                yield found("call", f"{name} by position", _NAMED, at)

    def _words(self, node: ast.Call) -> dict[str, Any]:
        """What is given by name. Of `**options` what the file puts in there; what else there is isn't known."""
        words: dict[str, Any] = {}
        for word in node.keywords:
            if word.arg is not None:
                words[word.arg] = value_of(word.value)
            else:
                words.update(self._unpacked(word.value))
        return words

    def _unpacked(self, node: ast.expr) -> dict[str, Any]:
        if not isinstance(node, ast.Dict):
            name = ast.unparse(node)
            return {**self._mappings.get(name, {}), f"**{name}": UNKNOWN}
        words: dict[str, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:  # of another mapping within it
                words.update(self._unpacked(value))
        return words | _pairs(node)


def _judged(words: Mapping[str, Any], at: str, names: Any) -> Iterator[Finding]:
    for name in sorted(names):
        if name.startswith("**"):
            yield found("call", name, _UNTOLD, at)
        else:
            yield judged("call", CALL_OPTIONS, name, words[name], at)


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _pairs(node: ast.Dict) -> dict[str, Any]:
    return {
        str(key.value): value_of(value)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _mappings_in(tree: ast.Module) -> dict[str, dict[str, Any]]:
    """What a file puts into mappings, by their names: `o = {"queue": x}`, `o = dict(queue=x)`, `o["queue"] = x`."""
    mappings: dict[str, dict[str, Any]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                mappings.setdefault(target.id, {}).update(_made_by(node.value))
            elif isinstance(target, ast.Subscript) and isinstance(key := value_of(target.slice), str):
                mappings.setdefault(ast.unparse(target.value), {})[key] = value_of(node.value)
    return mappings


def _made_by(node: ast.expr) -> dict[str, Any]:
    if isinstance(node, ast.Dict):
        return _pairs(node)
    if isinstance(node, ast.Call) and _name_of(node.func) == "dict":
        return {word.arg: value_of(word.value) for word in node.keywords if word.arg is not None}
    return {}
