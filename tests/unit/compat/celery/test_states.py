"""The words are Celery's."""

from __future__ import annotations

import celery.states
import pytest

from cloudq.compat.celery import states


@pytest.mark.parametrize("name", [name for name in vars(states) if name.isupper()])
def test_a_word_is_celerys(name) -> None:
    """And so is each group of them."""
    assert getattr(celery.states, name) == getattr(states, name)
