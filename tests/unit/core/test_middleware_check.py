"""What can't be a middleware is refused where it is given."""

from __future__ import annotations

import functools

import pytest

from cloudq import App, ConfigurationError
from cloudq.core.middleware_check import check_middleware


def fine(context):
    outcome = yield
    return outcome


def bound(extra, context):
    return (yield)


class Fine:
    def __call__(self, context):
        return (yield)


def prints(context):
    print("before")


async def is_async(context):
    yield


async def coroutine(context):
    return None


def delegates(context):
    return fine(context)


@functools.wraps(prints)
def wrapped(context):
    return fine(context)


@pytest.mark.parametrize(
    "each", [fine, Fine(), functools.partial(bound, 1), delegates, wrapped, lambda context: fine(context) or None, next]
)
def test_a_middleware_is_taken(each):
    """A generator function, an object or a partial of one, and what may return a generator."""
    check_middleware([each])
    assert (each,) == App(middleware=[each]).middleware


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (lambda context: None, "no yield"),
        (prints, "prints is no middleware: it has no yield"),
        (lambda: (yield), "one argument, the Context"),
        (bound, "bound is no middleware: it doesn't take one argument"),
        (Fine, "it is a class"),
        (coroutine, "it is async"),
        (is_async, "it is async"),
        ("auth", "'auth' is no middleware: it is a str"),
        (5, "it is an int"),
    ],
)
def test_what_can_be_none_is_refused_by_name(each, why):
    """The app isn't even made, and the text names it, says why, and what one looks like."""
    with pytest.raises(ConfigurationError, match=why) as refused:
        App(middleware=[each])
    assert "outcome = yield" in refused.value.hint
    with pytest.raises(ConfigurationError, match=why):
        App().configure(middleware=[fine, each])


@pytest.mark.parametrize("given", ["auth", b"auth", fine, {fine}, 5, iter([fine])])
def test_a_list_is_needed(given):
    """Order counts, so it is a sequence; a text is none."""
    with pytest.raises(ConfigurationError, match="middleware is a list, not"):
        App(middleware=given)
