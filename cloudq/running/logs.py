"""How the worker logs: to stderr, as text for people or as one JSON object a line for programs."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from cloudq.core.printable import NAME_CHARS, in_a_line, printable, printable_json, shortened
from cloudq.core.redaction import Redact, mask_secrets, redacted_by
from cloudq.errors import ConfigurationError
from cloudq.running.log_fields import NAMES

LogFormat: TypeAlias = Literal["text", "json"]


# What a record has of its own; anything else was given by the code that logs.
_OWN: Final = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"])
_OF_TASKS: Final = "cloudq.task."


class TextFormatter(logging.Formatter):
    """`2026-01-01 12:00:00.123 WARNING cloudq.worker: ...`, local time; a task's lines end with its id and attempt.

    Only a record begins a line at its first column: a message is one line, whatever it holds, and a traceback is
    indented. Nothing that steers a terminal is passed on.

    Args:
        redact: Takes out what nobody may see.
    """

    def __init__(self, redact: Redact = mask_secrets) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record, and the lines of its traceback."""
        at = f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}"
        said = in_a_line(redacted_by(self._redact, record.getMessage()))
        text = f"{at} {record.levelname} {in_a_line(record.name)}: {said}"
        if _is_of_a_task(record):
            identity = in_a_line(shortened(record.message_id, NAME_CHARS))  # type: ignore[attr-defined]  # asked for
            text += f" ({identity}, attempt {getattr(record, 'attempt', '?')})"
        if record.exc_info:
            text += self._indented(self.formatException(record.exc_info))
        if record.stack_info:
            text += self._indented(self.formatStack(record.stack_info))
        return text

    def _indented(self, lines: str) -> str:
        return "".join(f"\n  {line}" for line in printable(redacted_by(self._redact, lines)).split("\n"))


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message; of a delivery, and of what its task logs by
    `context.logger`, task, id, queue, attempt, outcome and seconds; of an error its traceback; and what a caller's
    `extra=` gives under other names.

    Args:
        redact: Takes out what nobody may see.
    """  # noqa: D205 - the list is one sentence

    def __init__(self, redact: Redact = mask_secrets) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record; a line break in a value is escaped, so it stays one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted_by(self._redact, record.getMessage()),
        }
        for name in NAMES:
            value = getattr(record, f"cloudq_{name}", None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["traceback"] = redacted_by(self._redact, self.formatException(record.exc_info))
        of_a_task = _is_of_a_task(record)
        for name, value in vars(record).items():
            if name not in _OWN and not name.startswith("cloudq_"):
                kept = redacted_by(self._redact, value) if isinstance(value, str) else value
                line.setdefault("id" if of_a_task and name == "message_id" else name, kept)
        return _encoded(line)


def _is_of_a_task(record: logging.LogRecord) -> bool:
    """Whether a task logged it by its context's logger."""
    return record.name.startswith(_OF_TASKS) and isinstance(getattr(record, "message_id", None), str)


_CHATTY: Final = ("azure", "botocore")  # SDKs
_FORMATTERS: Final = {"text": TextFormatter, "json": JsonFormatter}


def configure(
    format: LogFormat = "text",  # noqa: A002 - the option's own name
    level: str | int = "INFO",
    redact: Redact = mask_secrets,
) -> None:
    """Sends all log lines of the process to stderr. Replaces what was configured before.

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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[format](redact))
    logging.basicConfig(level=number, handlers=[handler], force=True)
    # At INFO they log where each client's credentials came from, and every link and request.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if number == logging.INFO else logging.NOTSET)


def _encoded(line: dict[str, object]) -> str:
    try:
        return printable_json(msgspec.json.encode(line, enc_hook=repr)).decode()
    except Exception:  # noqa: BLE001 - whatever a caller's `extra` holds
        # Lone surrogates, e.g. of a file name, or what JSON has no form for: the line is kept, with texts for them.
        escaped = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in line.items()}
        return printable_json(msgspec.json.encode(escaped)).decode()
