"""An app's tasks by their names."""

from __future__ import annotations

import pytest

from cloudq.compat.celery.exceptions import NotRegistered
from cloudq.compat.celery.registry import Tasks


def test_a_name_that_isnt_there_is_answered_with_the_nearest(app) -> None:
    """As an error of Celery's, which is a KeyError too."""
    task = app.task(name="shop.add")(lambda: None)
    tasks = Tasks({"shop.add": task})
    assert task is tasks["shop.add"]
    with pytest.raises(NotRegistered, match=r"shop\.ad: .*shop\.add"):
        tasks["shop.ad"]
    assert tasks.get("shop.ad") is None
