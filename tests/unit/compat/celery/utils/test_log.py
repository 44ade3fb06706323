"""A task's logger."""

from __future__ import annotations

import logging

from cloudq.compat import celery
from cloudq.compat.celery.utils.log import get_task_logger


def test_a_tasks_logger_is_the_one_of_that_name() -> None:
    """From either place."""
    assert logging.getLogger("shop.tasks") is get_task_logger("shop.tasks")
    assert celery.get_task_logger is get_task_logger
