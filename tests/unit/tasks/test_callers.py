"""A warning points to the code that called cloudq."""

from __future__ import annotations

import linecache
import warnings
from types import FunctionType

from cloudq.tasks.callers import callers_level


def in_module(name: str, call: object) -> object:
    """A function of a module of that name which calls another one."""

    def made() -> object:
        return call()  # type: ignore[operator]  # it is one

    return FunctionType(made.__code__, {"__name__": name}, closure=made.__closure__)


def warn() -> None:
    warnings.warn("look", stacklevel=callers_level(), category=UserWarning)


def test_the_first_frame_outside_of_the_library_is_named() -> None:
    """However deep within it the warning is given."""
    shallow = FunctionType(warn.__code__, {**globals(), "__name__": "cloudq.tasks.some_warning"})
    deep = in_module("cloudq.app", in_module("cloudq.tasks.task", shallow))
    for call in (shallow, deep):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()  # type: ignore[operator]  # it is one
        assert [__file__] == [one.filename for one in caught]
        assert "call()" in linecache.getline(__file__, caught[0].lineno)


def test_a_name_that_only_begins_alike_is_the_programs() -> None:
    """`cloudq_shop` isn't the library."""
    shallow = FunctionType(warn.__code__, {**globals(), "__name__": "cloudq.tasks.some_warning"})
    theirs = in_module("cloudq_shop", shallow)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs()  # type: ignore[operator]  # it is one
    assert in_module.__code__.co_firstlineno < caught[0].lineno < warn.__code__.co_firstlineno
