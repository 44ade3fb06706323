"""Errors: codes, hints, the hierarchy, suggestions, and the way from one process to another."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator

import pytest

from cloudq import errors
from cloudq.errors import (
    BackendError,
    CloudqError,
    PayloadError,
    SendManyError,
    StorageReadOnly,
    Throttled,
    TransientError,
    wording,
)


def all_errors(base: type[CloudqError] = CloudqError) -> Iterator[type[CloudqError]]:
    yield base
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from all_errors(kind)


KINDS = list(all_errors())
WITH_A_MESSAGE = [kind for kind in KINDS if kind is not SendManyError]


def test_every_error_has_a_code_of_its_own() -> None:
    """The codes are anchors of the documentation: lower case, hyphens, no two alike."""
    codes = [kind.code for kind in KINDS]
    assert sorted(set(codes)) == sorted(codes)
    assert [] == [code for code in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)]
    assert [] == [kind for kind in KINDS if "code" not in vars(kind)]


@pytest.mark.parametrize("kind", WITH_A_MESSAGE)
def test_an_error_carries_its_message_and_its_hint(kind: type[CloudqError]) -> None:
    """The message says what is wrong, the hint what to do, the text both; without a hint there is none."""
    error = kind("broken", hint="mend it")
    assert ("broken; hint: mend it", "broken", "mend it") == (str(error), error.message, error.hint)
    assert ("broken",) == error.args
    assert ("broken", None) == (str(kind("broken")), kind("broken").hint)


@pytest.mark.parametrize("kind", WITH_A_MESSAGE)
@pytest.mark.parametrize("carry", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own bytes
def test_an_error_survives_a_copy_and_the_way_to_another_process(kind: type[CloudqError], carry) -> None:  # type: ignore[no-untyped-def]  # copy's and pickle's signatures are Any
    """Pools pickle what a child raised: type, message and hint arrive."""
    carried = carry(kind("broken", hint="mend it"))
    assert (kind, "broken; hint: mend it", "mend it") == (type(carried), str(carried), carried.hint)


def test_a_payload_error_keeps_its_field() -> None:
    """The field's path is there for programs, and pickles."""
    error = pickle.loads(pickle.dumps(PayloadError("no", field="order.items[2].price")))  # noqa: S301 - our own bytes
    assert "order.items[2].price" == error.field
    assert PayloadError("no").field is None


def test_what_passes_by_itself_is_transient() -> None:
    """Callers may tell by type what is worth another try, and what a backend said from what the program did."""
    assert issubclass(Throttled, TransientError)
    assert issubclass(errors.BackendUnavailable, TransientError)
    assert issubclass(TransientError, BackendError)
    assert issubclass(StorageReadOnly, errors.PermissionDenied)
    assert not issubclass(errors.QueueNotFound, TransientError)
    assert not issubclass(PayloadError, BackendError)


def test_send_many_error_tells_all() -> None:
    """The first error is in the message, everything is in the attributes, in order."""
    first, second = Throttled("slow down"), ValueError("other")
    error = SendManyError(results=("sent", first, second), failed=("b", "c"))
    assert "2 of 3 calls were not stored; the first error: slow down" == error.message
    assert (["sent", first, second], ["b", "c"]) == (error.results, error.failed)
    assert error.hint is not None
    assert "send_many(error.failed)" in error.hint


def test_send_many_error_pickles() -> None:
    """It goes from one process to another with its results."""
    error = pickle.loads(pickle.dumps(SendManyError(results=["sent", "lost"], failed=["b"])))  # noqa: S301 - our own bytes
    assert (["sent", "lost"], ["b"]) == (error.results, error.failed)


def test_an_errors_wording_within_another_text_has_no_hint() -> None:
    """What is put into another text leaves its hint to that text's own end: a hint is said once."""
    inner = Throttled("slow down", hint="send less")
    assert "slow down" == wording(inner)
    assert "no" == wording(ValueError("no"))
    outer = SendManyError(results=(inner,), failed=("a",))
    assert 1 == str(outer).count("hint:")
    assert "1 of 1 calls were not stored; the first error: slow down" == outer.message
    assert (outer.hint or "").startswith("send less; send_many(error.failed)")
