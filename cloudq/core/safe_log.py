"""`SafeLogger`: logging that never raises into the code that logs."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

from cloudq.core.printable import TEXT_CHARS, shortened
from cloudq.core.redaction import redacted
from cloudq.core.run_fields import RUN_FIELDS
from cloudq.core.shield import Ended
from cloudq.errors import TimeLimitExceeded

ExcInfo: TypeAlias = BaseException | bool | None
Extra: TypeAlias = Mapping[str, object] | None


class SafeLogger:
    """A `logging.Logger`, as far as cloudq uses one, whose methods never raise.

    Logging runs code of the app: a filter that expects its own fields, a handler, the `__str__` and the `__notes__` of
    the exception that is logged. cloudq logs between steps that belong together (a task has ended; its message is
    settled), so what that code raises, even SystemExit, must not come between them. It is reported on stderr, as the
    standard library does with what a handler raises; `logging.raiseExceptions = False` silences it.

    Two things are raised all the same, as they don't come from logging: a Ctrl-C, and the task's time limit.

    Texts among the arguments, of exceptions too, are written without their secrets and cut to 1,000 characters, since
    they come from senders and services. How they are escaped is the formatter's, which may be the app's.

    Args:
        name: The logger's.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def enabled_for(self, level: int) -> bool:
        """Whether a line of this level would be written: for those that take work to put together."""
        return self._logger.isEnabledFor(level)

    def debug(self, text: str, *args: object, exc_info: ExcInfo = None, extra: Extra = None) -> None:
        """As `Logger.debug`."""
        self._write(logging.DEBUG, text, args, exc_info, extra)

    def info(self, text: str, *args: object, exc_info: ExcInfo = None, extra: Extra = None) -> None:
        """As `Logger.info`."""
        self._write(logging.INFO, text, args, exc_info, extra)

    def warning(self, text: str, *args: object, exc_info: ExcInfo = None, extra: Extra = None) -> None:
        """As `Logger.warning`."""
        self._write(logging.WARNING, text, args, exc_info, extra)

    def error(self, text: str, *args: object, exc_info: ExcInfo = None, extra: Extra = None) -> None:
        """As `Logger.error`."""
        self._write(logging.ERROR, text, args, exc_info, extra)

    def exception(self, text: str, *args: object, extra: Extra = None) -> None:
        """As `Logger.exception`: with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, text, args, True, extra)

    def log(self, level: int, text: str, *args: object, exc_info: ExcInfo = None, extra: Extra = None) -> None:
        """As `Logger.log`."""
        self._write(level, text, args, exc_info, extra)

    def _write(self, level: int, text: str, args: tuple[object, ...], exc_info: ExcInfo, extra: Extra) -> None:
        other = None
        try:
            if not self._logger.isEnabledFor(level):
                return
            carried = None if extra is None else RUN_FIELDS.get(None)
            if extra is not None and carried is not None:
                if "cloudq_id" in extra:
                    # It names its delivery itself, which may be another one than that which is worked on here.
                    other = RUN_FIELDS.set(None)
                else:
                    # `logging` refuses an extra of a name that the record has already.
                    extra = {
                        name: value for name, value in extra.items() if name.removeprefix("cloudq_") not in carried
                    }
            # Three up is who called `error`, and so the line that a formatter names.
            self._logger.log(level, text, *map(_fit, args), exc_info=exc_info, extra=extra, stacklevel=3)
        except BaseException as broken:
            if is_from_outside(broken):
                raise
            _report(self._logger.name, text, broken)
        finally:
            if other is not None:
                RUN_FIELDS.reset(other)


def _fit(argument: object) -> object:
    if isinstance(argument, BaseException):
        argument = str(argument)
    return shortened(redacted(argument), TEXT_CHARS) if isinstance(argument, str) else argument


def is_ctrl_c(error: BaseException) -> bool:
    """Whether it was raised by a signal: that reaches the main thread only, elsewhere it is the code's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def is_from_outside(error: BaseException) -> bool:
    """Whether the code that it was raised in isn't its cause: it is a Ctrl-C, or the time limit of what runs here."""
    return isinstance(error, (TimeLimitExceeded, Ended)) or is_ctrl_c(error)


def _report(name: str, text: str, broken: BaseException) -> None:
    """Names the type, and the text as it was before it was formatted: nothing that runs the app's code again."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    with suppress(Exception):
        sys.stderr.write(f"cloudq: logging raised {type(broken).__name__}; the line was {name}: {text}\n")
