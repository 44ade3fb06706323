"""Celery's exceptions."""

from __future__ import annotations

import celery.exceptions
import pytest

from cloudq.compat.celery import exceptions

OURS = [name for name, value in vars(exceptions).items() if isinstance(value, type) and name in vars(celery.exceptions)]


@pytest.mark.parametrize("name", sorted(set(OURS) - {"SoftTimeLimitExceeded", "TimeLimitExceeded", "datetime"}))
def test_an_exception_is_caught_by_the_bases_that_celerys_has(name) -> None:
    """So `except TaskError` catches the same."""
    theirs = {base.__name__ for base in getattr(celery.exceptions, name).__mro__}
    ours = {base.__name__ for base in getattr(exceptions, name).__mro__}
    assert theirs == ours


def test_a_retry_says_why() -> None:
    """By its error, or in words."""
    assert "ValueError: no" == str(exceptions.Retry(exc=ValueError("no")))
    assert "later" == exceptions.Retry("later", when=5).message
    assert (1, {}) == (
        exceptions.MaxRetriesExceededError(task_args=1).task_args,
        exceptions.MaxRetriesExceededError().task_kwargs,
    )
