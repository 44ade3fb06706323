"""What becomes of a message, by why it couldn't be published."""

from __future__ import annotations

import pytest

from cloudq import errors
from cloudq.relay.verdicts import MOST_FAILURES, Verdict, verdict, why


@pytest.mark.parametrize(
    "error",
    [
        errors.MessageTooLarge("x"),
        errors.OptionError("x"),
        errors.PayloadError("x"),
        errors.QueueNotFound("x"),
        errors.UndecodableError("x"),
        errors.UnsupportedError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_parked(error: Exception) -> None:
    """What is wrong with the message, or where it should go, no other try mends."""
    assert Verdict.PARK is verdict(error, 0)


@pytest.mark.parametrize(
    "error",
    [
        errors.BackendUnavailable("x"),
        errors.Throttled("x"),
        errors.PayloadUnavailable("x"),
        errors.PermissionDenied("x"),
        errors.StorageFull("x"),
        errors.StorageReplaced("x"),
        errors.StorageCorrupt("x"),
        errors.SchemaMismatch("x"),
        errors.ConfigurationError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_without_end(error: Exception) -> None:
    """What passes by itself, or an operator mends, never parks a message."""
    assert Verdict.WAIT is verdict(error, 10_000)


@pytest.mark.parametrize("error", [errors.BackendError("x"), ValueError("x")], ids=lambda error: type(error).__name__)
def test_unknown(error: Exception) -> None:
    """What nobody knows is tried a number of times."""
    assert Verdict.AGAIN is verdict(error, MOST_FAILURES - 2)
    assert Verdict.PARK is verdict(error, MOST_FAILURES - 1)


def test_why() -> None:
    """The class, the text and what to do, at a bounded length."""
    assert "QueueNotFound: no queue 'x'; hint: make it" == why(errors.QueueNotFound("no queue 'x'", hint="make it"))
    assert 1_000 == len(why(ValueError("x" * 5_000)))
