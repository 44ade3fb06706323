"""What can't be a middleware is refused where it is given, and not by the first task that meets it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Sequence
from typing import Final

from cloudq.errors import ConfigurationError, kind_of

_HINT: Final = "a middleware is a generator function of the Context: code, `outcome = yield`, code, `return outcome`"


def check_middleware(middleware: object) -> None:
    """Refuses what is no list of middleware, as far as can be seen without running one.

    Raises:
        ConfigurationError: It is no list, or one of them can't be a middleware.
    """
    if isinstance(middleware, (str, bytes)) or not isinstance(middleware, Sequence):
        raise ConfigurationError(f"middleware is a list, not {middleware!r}", hint="middleware=[...]")
    for each in middleware:
        if why := _unfit(each):
            raise ConfigurationError(f"{_name(each)} is no middleware: {why}", hint=_HINT)


def _unfit(each: object) -> str | None:
    if not callable(each):
        return f"it is {kind_of(each)}"
    if isinstance(each, type):
        return "it is a class; an object of it may be one"
    if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
        return "it is async; one and the same plain generator serves sync and async tasks"
    try:
        inspect.signature(each).bind(object())
    except TypeError:
        return "it doesn't take one argument, the Context"
    except ValueError:  # something in C that doesn't tell
        return None
    if not inspect.isgeneratorfunction(each) and _returns_constants(each):
        return "it has no yield"
    return None


def _returns_constants(each: object) -> bool:
    """Whether all that a function can return is written in it as a constant, so that it is no generator."""
    if not inspect.isfunction(each):
        return False
    before: dis.Instruction | None = None
    for step in dis.get_instructions(each):
        constant = before is not None and before.opname == "LOAD_CONST" and not step.is_jump_target
        if step.opname == "RETURN_VALUE" and not constant:
            return False
        before = step
    return True


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", repr(thing))
