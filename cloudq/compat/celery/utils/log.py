"""`get_task_logger`, where programs import it from."""

from __future__ import annotations

import logging


def get_task_logger(name: str) -> logging.Logger:
    """A logger of that name: cloudq's logs say which task runs, whatever the logger."""
    return logging.getLogger(name)
