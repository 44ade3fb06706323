"""`own_copy`: one error for several callers, each of whom raises it."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

ErrorT = TypeVar("ErrorT", bound=BaseException)


def own_copy(error: ErrorT) -> ErrorT:
    """A copy of the error, with its cause and its traceback so far; the error itself, if it can't be copied.

    Raising an exception writes its `__traceback__` and `__context__`. Where the failure of one call is raised in many
    threads, they would write to the same object at once, and each would show the others' frames.
    """
    try:
        copied = copy(error)
    except Exception:  # noqa: BLE001 - a class whose arguments aren't those of its `__init__`, say
        return error
    if type(copied) is not type(error):
        return error
    copied.__cause__ = error.__cause__
    copied.__context__ = error.__context__
    copied.__suppress_context__ = error.__suppress_context__
    return copied.with_traceback(error.__traceback__)
