"""The options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

import msgspec

from cloudq.cli.parameters import Argument, Option
from cloudq.core.message import DEAD_LETTER_SUFFIX, FIFO_SUFFIX, is_dead_letter_queue
from cloudq.errors import OptionError
from cloudq.queues.names import check_queue


class Switches(msgspec.Struct):
    """What holds for the whole run of a command; the context's `obj`."""

    debug: bool = False


Backend = Annotated[
    str | None,
    Option(
        "--backend",
        metavar="URL|SCHEME",
        help="Where the messages are. Default: the app's own URL, then CLOUDQ_URL, then sqlite:///cloudq.db. "
        "A bare scheme stands for CLOUDQ_URL.",
    ),
]
AppSpec = Annotated[
    str | None,
    Option(
        "--app",
        metavar="MODULE[:ATTR]",
        help="Whose tasks. Default: CLOUDQ_APP, then \\[tool.cloudq] app in pyproject.toml, then app.py, tasks.py, "
        "then Django's project.",
    ),
]
NamedApp = Annotated[
    str | None,
    Option(
        "--app", metavar="MODULE[:ATTR]", help="Whose tasks, and whose backend. Default: CLOUDQ_APP, else no app's."
    ),
]
Json = Annotated[bool, Option("--json", help="One JSON object a line, for programs.")]
Yes = Annotated[bool, Option("--yes", "-y", help="Don't ask. Needed if stdin isn't a terminal.")]
DEBUG: Final = Option("--debug", help="Show the traceback of an error.")
Debug = Annotated[bool, DEBUG]
Queue = Annotated[str, Argument(metavar="QUEUE", help="The queue's name.", show_default=False)]

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_LONGEST: Final = timedelta(days=366 * 10)


def duration(option: str, text: str, *, positive: bool = False) -> timedelta:
    """The length of time in `30s`, `5m`, `1h30m`, `2d`, or a bare number of seconds.

    Args:
        option: What it was given for.
        text: What was given.
        positive: Whether nothing, `0`, is refused.

    Raises:
        OptionError: It is none, or longer than ten years.
    """
    hint = f"{option} 30s, {option} 5m, {option} 1h30m; a bare number means seconds"
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            length = timedelta(seconds=float(text))
        elif text and not _PART.sub("", text):
            length = timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
        else:
            raise OptionError(f"{option} {text!r} is no length of time", hint=hint)
    except OverflowError:
        length = timedelta.max
    if length > _LONGEST:
        raise OptionError(f"{option} {text!r} is longer than ten years", hint=hint)
    if positive and not length:
        raise OptionError(f"{option} {text!r} has to be longer than nothing", hint=hint)
    return length


def queue_name(name: str) -> str:
    """The queue's name, if it is one.

    Raises:
        OptionError: It isn't one, or it is a dead-letter queue's.
    """
    if is_dead_letter_queue(name):
        ordered = FIFO_SUFFIX if name.endswith(FIFO_SUFFIX) else ""
        owner = name.removesuffix(FIFO_SUFFIX).removesuffix(DEAD_LETTER_SUFFIX) + ordered
        raise OptionError(f"{name!r} is the name of a dead-letter queue", hint=f"name the queue it belongs to: {owner}")
    return check_queue(name)
