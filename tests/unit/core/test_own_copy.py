"""One error for several callers: each raises its own."""

from __future__ import annotations

import pytest

from cloudq.core.own_copy import own_copy
from cloudq.errors import BackendUnavailable, CloudqError, SendManyError


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_a_copy_says_the_same() -> None:
    """Type, text, hint, notes, cause and the traceback so far."""
    cause = OSError("cut")
    error = raised(BackendUnavailable("no answer", hint="send it again later"), cause)
    error.add_note("a note")
    copied = own_copy(error)
    assert isinstance(copied, BackendUnavailable)
    assert copied is not error
    assert (str(error), "send it again later", ["a note"]) == (str(copied), copied.hint, copied.__notes__)
    assert (cause, True, error.__traceback__) == (copied.__cause__, copied.__suppress_context__, copied.__traceback__)


def test_raising_the_copy_leaves_the_error_alone() -> None:
    """Whoever raises one of them doesn't write to the others."""
    error = raised(ValueError("x"))
    before = error.__traceback__
    raised(own_copy(error), KeyError("mine"))
    assert error.__traceback__ is before
    assert error.__cause__ is None


class Awkward(Exception):
    """Its arguments aren't those of its `__init__`."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


def test_what_cant_be_copied_is_the_error_itself() -> None:
    """A foreign package's exception may have any `__init__`."""
    error = Awkward(code=5)
    assert own_copy(error) is error


# All but the one that is made of results.
@pytest.mark.parametrize("kind", [kind for kind in CloudqError.__subclasses__() if kind is not SendManyError])
def test_each_of_our_own_can_be_copied(kind: type[CloudqError]) -> None:
    """So that each caller of a failed batch has one of its own."""
    error = kind("text")
    copied = own_copy(error)
    assert copied is not error
    assert (type(error), str(error)) == (type(copied), str(copied))
