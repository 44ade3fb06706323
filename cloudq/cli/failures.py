"""From an error to what a person sees, and to the exit code that a program sees."""

from __future__ import annotations

import traceback
from typing import Final

from cloudq.cli.output import StdoutError, complain, json_log
from cloudq.core.printable import printable
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import (
    CloudqError,
    ConfigurationError,
    OptionError,
    PayloadError,
    PermissionDenied,
    QueueNotFound,
    SchemaMismatch,
    StorageCorrupt,
    StorageFull,
    StorageReplaced,
    StoreRefused,
    TaskDefinitionError,
    TransientError,
    UnknownTaskError,
    UnsupportedError,
)

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (ConfigurationError, USAGE),
    (OptionError, USAGE),
    (TaskDefinitionError, USAGE),
    (PayloadError, USAGE),
    (UnknownTaskError, USAGE),
    (UnsupportedError, USAGE),
    (TransientError, UNREACHABLE),
    (PermissionDenied, UNREACHABLE),
    (StoreRefused, UNREACHABLE),
    (QueueNotFound, UNREACHABLE),
    (StorageFull, UNREACHABLE),
    (StorageCorrupt, UNREACHABLE),
    (StorageReplaced, UNREACHABLE),
    (SchemaMismatch, UNREACHABLE),
    (KeyboardInterrupt, INTERRUPTED),
)


def exit_code(error: BaseException) -> int:
    """The exit code that an error stands for."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def report(error: BaseException, *, debug: bool) -> int:
    """Says on stderr what is wrong and what to do about it; in JSON where logs are. Returns the exit code."""
    if (log := json_log()) is not None:
        _log(log, error, debug=debug)
        return exit_code(error)
    if debug:
        complain(printable("".join(traceback.format_exception(error))), end="")
    if isinstance(error, KeyboardInterrupt):
        lines = ["cloudq: interrupted"]
    elif isinstance(error, CloudqError):
        from cloudq.cli.error_pages import where

        lines = [f"cloudq: {error.message}"]
        if error.hint:
            lines.append(f"  hint: {error.hint}")
        lines.append(f"  code: {error.code} ({where(error.code)})")
    elif isinstance(error, StdoutError):
        lines = [f"cloudq: {error}", "  hint: what the command had done by then is done"]
    else:
        text = str(error)
        lines = [f"cloudq: {type(error).__name__}" + (f": {text}" if text else "")]
        if not debug:
            lines.append("  hint: this was not expected; --debug shows where it comes from")
    # What follows a line end within one of them is indented: our own words, "hint" say, begin a line of ours only.
    complain("\n".join(printable(line).replace("\n", "\n    ") for line in lines))
    return exit_code(error)


def _log(log: SafeLogger, error: BaseException, *, debug: bool) -> None:
    if isinstance(error, KeyboardInterrupt):
        log.warning("interrupted")
        return
    fields: dict[str, object] = {"cloudq_exit_code": exit_code(error)}
    text = str(error)
    if isinstance(error, CloudqError):
        from cloudq.cli.error_pages import where

        text = error.message
        fields |= {"cloudq_hint": error.hint, "cloudq_code": error.code, "cloudq_page": where(error.code)}
    kind = "" if isinstance(error, (CloudqError, StdoutError)) else type(error).__name__ + (": " if text else "")
    # What was not expected, and what a module of the app raised, is looked into by those who have nothing but the log.
    shown = error if debug or kind or error.__cause__ is not None else None
    log.error("%s%s", kind, text, extra=fields, exc_info=shown)
