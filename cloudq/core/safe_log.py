"""`log_safely`: a log line that can't hurt whoever writes it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress


def log_safely(
    logger: logging.Logger,
    level: int,
    text: str,
    *args: object,
    error: BaseException | None = None,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Logs, and never raises.

    Logging runs code of the app: a filter that expects its own fields, a handler, the `__str__` and the `__notes__` of
    the exception that is logged. Where a line is written between two steps that belong together (a task has ended; its
    message is settled), what that code raises, even SystemExit, must not come between them. It is reported on stderr,
    as the standard library does with what a handler raises; `logging.raiseExceptions = False` silences it.

    A KeyboardInterrupt in the main thread is raised all the same: it is the user's Ctrl-C.

    Args:
        logger: Where.
        level: How grave.
        text: The line, with `%` placeholders.
        *args: For the placeholders.
        error: Whose traceback goes with it.
        extra: More fields of the record.
    """
    try:
        logger.log(level, text, *args, exc_info=error, extra=extra)
    except BaseException as broken:
        if is_ctrl_c(broken):
            raise
        _report(logger.name, text, broken)


def is_ctrl_c(error: BaseException) -> bool:
    """Whether it was raised by a signal: that reaches the main thread only, elsewhere it is the code's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def _report(name: str, text: str, broken: BaseException) -> None:
    """Names types and the text before it was formatted, nothing that runs code of the app's again."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    with suppress(Exception):
        sys.stderr.write(f"cloudq: logging raised {type(broken).__name__}; the line was {name}: {text}\n")
