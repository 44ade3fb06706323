"""When a second declaration of a name takes the first one's place: a reload, an edited cell, a script's import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from cloudq.tasks.definition import Definition

_LOCAL = "<locals>"


def replaces(new: Definition, old: Definition) -> bool:
    """Whether a declaration is the old one, read again; if not, two functions have one name."""
    if _code(new) is _code(old):
        # The same code in two functions: a factory made both (a reload compiles anew).
        return _function(new) is _function(old)
    if new.place == old.place:
        return True  # a module that was reloaded, or a script that was run and is imported under its own name as well
    one, other = _function(new), _function(old)
    if (one.__module__, one.__qualname__) != (other.__module__, other.__qualname__) or _LOCAL in one.__qualname__:
        return False
    if _globals(one) is not _globals(other) and _file(new) == _file(old):
        return True  # imported anew, from the same file: the module was taken out of sys.modules, as autoreloaders do
    return _is_read_anew(one.__module__)


def _is_read_anew(module: str) -> bool:
    """Whether a module's lines may run a second time now: a reload after an edit, or a notebook's cell."""
    found = sys.modules.get(module)
    if found is None:
        return True  # code that a notebook or a debugger runs
    if found.__name__ == "__main__":
        return getattr(found, "__file__", None) is None  # a script's lines run once, a prompt's and a notebook's again
    # While it is imported for the first time, two functions of one name in it are a mistake (importlib's own mark).
    return not getattr(found.__spec__, "_initializing", False)


def _function(definition: Definition) -> Callable[..., Any]:
    function = definition.function
    while not isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _globals(function: Callable[..., Any]) -> object:
    return getattr(function, "__globals__", None)


def _file(definition: Definition) -> str:
    return definition.place.rpartition(":")[0]


def _code(definition: Definition) -> object:
    return getattr(_function(definition), "__code__", None)
