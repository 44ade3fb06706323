"""How the worker logs: to stderr, as text for people or as one JSON object a line for programs."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TextIO, TypeAlias

import msgspec

from cloudq.core.printable import in_a_line, printable, printable_json
from cloudq.core.redaction import Redact, mask_secrets
from cloudq.core.run_fields import RUN_FIELDS, RunFields
from cloudq.errors import ConfigurationError
from cloudq.running.log_fields import PREFIX, carry_run_fields
from cloudq.running.log_values import LogValues, cut, text_of
from cloudq.running.user_frames import short_traceback

LogFormat: TypeAlias = Literal["text", "json"]

# What a record has of its own, and uvicorn's second form of its message; anything else was given by the code that logs.
_OWN: Final = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"])
_OF_TASKS: Final = "cloudq.task."
_ID: Final = f"{PREFIX}id"
# What a task gave its context's logger by the names of `_OF_CONTEXT`.
_HIDDEN: Final = f"{PREFIX}given"
_OF_CONTEXT: Final = {"task": "task", "message_id": "id", "queue": "queue", "attempt": "attempt"}
# In the text format a value of other characters is put in quotes: it would read as several fields.
_BARE: Final = re.compile(r"[^\s=\"]+")


class TextFormatter(logging.Formatter):
    """`2026-01-01 12:00:00.123 WARNING shop: slow  task=shop.pay id=... queue=default attempt=1 order=42`, local time.

    What is logged while a delivery is worked on ends with its task, id, queue, attempt and trace; then comes the
    caller's own `extra=`. Lines of cloudq's that name their delivery in their text don't say it twice. Of a failed
    attempt's traceback the user's own frames are shown (see `short_traceback`), of any other all.

    Only a record begins a line at its first column: a message is one line, whatever it holds, and a traceback is
    indented. Nothing that steers a terminal is passed on.

    Args:
        redact: Takes out what nobody may see.
    """

    def __init__(self, redact: Redact = mask_secrets) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._values = LogValues(redact)

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record, and the lines of its traceback."""
        at = f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}"
        said = in_a_line(self._values.of_text(record.getMessage()))
        text = f"{at} {in_a_line(record.levelname)} {in_a_line(record.name)}: {said}"
        own, given = fields_of(record)
        shown = [*([] if _names_its_delivery(record) else own.items()), *given.items()]
        if shown:
            text += "  " + shown_fields(shown, self._values)
        if record.exc_info:
            text += self._indented(self._traceback(record))
        if record.stack_info:
            text += self._indented(self.formatStack(record.stack_info))
        return text

    def _traceback(self, record: logging.LogRecord) -> str:
        if record.exc_info is None:
            return ""
        error = record.exc_info[1]
        if error is not None and hasattr(record, f"{PREFIX}outcome"):
            return short_traceback(error)
        return self.formatException(record.exc_info)

    def _indented(self, lines: str) -> str:
        return "".join(f"\n  {line}" for line in printable(self._values.of_text(lines)).split("\n"))


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message.

    Of a delivery, and of whatever is logged while one is worked on: task, id, queue, attempt, trace_id, outcome and
    seconds. Of an error its traceback. And what a caller's `extra=` gives: under its own name, or, where a member of
    that name says something else already, under that name within `extra`. Of a text of more than 65,536 characters
    (message, traceback, stack, or one of `extra`) the middle is left out.

    Args:
        redact: Takes out what nobody may see.
    """

    def __init__(self, redact: Redact = mask_secrets) -> None:
        super().__init__()
        self._values = LogValues(redact)

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record; a line break in a value is escaped, so it stays one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cut(self._values.of_text(record.getMessage())),
        }
        own, given = fields_of(record)
        for name, value in own.items():
            line.setdefault(name, self._values.of_text(value) if isinstance(value, str) else value)
        if record.exc_info:
            line["traceback"] = cut(self._values.of_text(self.formatException(record.exc_info)))
        if record.stack_info:
            line["stack"] = cut(self._values.of_text(self.formatStack(record.stack_info)))
        taken: dict[str, object] = {}
        for name, value in given.items():
            (taken if name in line else line)[name] = self._values.for_json(name, value)
        if taken:
            line["extra"] = taken if "extra" not in line else {"extra": line["extra"], **taken}
        return _encoded(line)


def shown_fields(fields: Iterable[tuple[str, object]], values: LogValues) -> str:
    """Fields as text shows them: `name=value`, in quotes what would read as several."""
    return " ".join(f"{in_a_line(name)}={_shown(values.for_text(name, value))}" for name, value in fields)


def _shown(value: str) -> str:
    text = in_a_line(value)
    return text if _BARE.fullmatch(text) else '"' + text.replace('"', '\\"') + '"'


def fields_of(record: logging.LogRecord) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """What cloudq says of the delivery, by its plain names, and what the code that logs gives besides."""
    run = RUN_FIELDS.get(None)
    # Mostly it is written where it was made: then its fields are at hand, by their plain names.
    carried = run.carried if run is not None else None
    at_hand = run is not None and carried is not None and record.__dict__.get(_ID) is carried[_ID]
    own: dict[str, object] = dict(run) if at_hand and run is not None else {}
    known: Mapping[str, object] = carried if at_hand and carried is not None else {}
    given: dict[str, object] = {}
    of_a_task = _is_of_a_task(record)
    for name, value in vars(record).items():
        if name in _OWN or name in known or isinstance(value, RunFields):  # which structlog passes on, too
            continue
        if name == _HIDDEN and isinstance(value, dict):
            given.update(value)
        elif str(name).startswith(PREFIX):
            if value is not None:
                own[name.removeprefix(PREFIX)] = value
        elif of_a_task and name in _OF_CONTEXT:
            own.setdefault(_OF_CONTEXT[name], value)
        else:
            given[str(name)] = value
    return own, given


def _is_of_a_task(record: logging.LogRecord) -> bool:
    """Whether a task logged it by its context's logger."""
    return record.name.startswith(_OF_TASKS) and isinstance(getattr(record, "message_id", None), str)


def _names_its_delivery(record: logging.LogRecord) -> bool:
    """Whether it is a line of cloudq's own, whose text has the id."""
    ours = record.name == "cloudq" or (record.name.startswith("cloudq.") and not record.name.startswith(_OF_TASKS))
    return ours and str(getattr(record, _ID, "")) in record.getMessage()


_CHATTY: Final = ("azure", "botocore")  # SDKs
_FORMATTERS: Final = {"text": TextFormatter, "json": JsonFormatter}


class _Handler(logging.StreamHandler[TextIO]):
    """The one that `configure` adds, told from an app's by its class."""


def configure(
    format: LogFormat = "text",  # noqa: A002 - the option's own name
    level: str | int = "INFO",
    redact: Redact = mask_secrets,
) -> None:
    """Sends all log lines of the process to stderr, and Python's warnings.

    In place of what the root logger had to write to the terminal with: its handler from an earlier call, and those of
    `logging.basicConfig` and their like. Any other handler, a file's or a collector's, is the app's and stays.

    Args:
        format: `text` or `json`.
        level: The least severe level to show.
        redact: Takes out of all lines, the app's own too, what nobody may see: the app's `redact`.

    Raises:
        ConfigurationError: There is no such format or level.
    """
    if format not in _FORMATTERS:
        raise ConfigurationError(f"there is no log format {format!r}", hint="text or json")
    number = level if isinstance(level, int) else logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"there is no log level {level!r}", hint="debug, info, warning, error or critical")
    root = logging.getLogger()
    for before in [handler for handler in root.handlers if _only_writes_to_the_terminal(handler)]:
        root.removeHandler(before)
        before.close()
    handler = _Handler(sys.stderr)
    handler.setFormatter(_FORMATTERS[format](redact))
    root.addHandler(handler)
    root.setLevel(number)
    carry_run_fields()
    _enable_own_loggers()
    warnings.showwarning = _log_warning
    # At INFO they log where each client's credentials came from, and every link and request.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if number == logging.INFO else logging.NOTSET)


def _only_writes_to_the_terminal(handler: logging.Handler) -> bool:
    """Whether with it beside ours each line would be there twice, and nothing is lost without it."""
    if isinstance(handler, _Handler):
        return True
    # One that has an `emit` of its own may send elsewhere, whatever stream it was made with.
    if not isinstance(handler, logging.StreamHandler) or type(handler).emit is not logging.StreamHandler.emit:
        return False
    terminal = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    return any(handler.stream is stream for stream in terminal)


def _enable_own_loggers() -> None:
    """An app's `logging.config.dictConfig` disables all loggers that it doesn't name, by its default."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and (name == "cloudq" or name.startswith("cloudq.")):
            logger.disabled = False


def format_in_use() -> LogFormat | None:
    """The format of this process's log lines, if `configure` set it."""
    for handler in logging.getLogger().handlers:
        for name, formatter in _FORMATTERS.items():
            if isinstance(handler.formatter, formatter):
                return "json" if name == "json" else "text"
    return None


def _log_warning(  # noqa: PLR0917 - as `warnings.showwarning` is called
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """As `logging.captureWarnings`, under the same logger, in one line, without the line of code."""
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)


def _encoded(line: dict[str, object]) -> str:
    try:
        return printable_json(msgspec.json.encode(line, enc_hook=text_of)).decode()
    except Exception:  # noqa: BLE001 - whatever a caller's `extra` holds
        # Lone surrogates, e.g. of a file name: the line is kept, with texts for what JSON has no form for.
        parts = {_without_surrogates(name): _encodable(value) for name, value in line.items()}
        return printable_json(msgspec.json.encode(parts)).decode()


def _encodable(value: object) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(value, enc_hook=text_of))
    except Exception:  # noqa: BLE001 - as above
        return msgspec.Raw(msgspec.json.encode(_without_surrogates(text_of(value))))


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
