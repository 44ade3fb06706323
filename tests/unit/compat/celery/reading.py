"""What the source of a library says: for tests that hold our tables to Celery's own."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def public(kind: type) -> set[str]:
    """The names of a class that aren't private."""
    return {name for name in dir(kind) if not name.startswith("_")}


def named(function: Callable[..., Any]) -> set[str]:
    """The parameters of a function by name, `self` and `**options` left out."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"}


def names_asked_for(function: Callable[..., Any], *asks: str) -> set[str]:
    """The texts that a function's source hands to calls such as `options.get("name", ...)`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        part.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in asks
        for part in node.args
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }
