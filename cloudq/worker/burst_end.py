"""`code_at_end`: what a worker's exit code says once its queues are empty."""

from __future__ import annotations

from collections.abc import Iterable

from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq.worker")


def code_at_end(burst: bool, left: Iterable[str | None]) -> int:
    """1 where a burst leaves messages that it should have worked on, were the program or the store all right.

    Args:
        burst: Whether it is one. Else others work on what is left.
        left: What is left, as a log line says it; `None` for nothing.
    """
    said = [one for one in left if one is not None]
    if not burst or not said:
        return 0
    for one in said:
        logger.error("the burst ends with work left: %s", one)
    return 1
