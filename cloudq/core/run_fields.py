"""`RunFields`: what all carries that is logged while a delivery is worked on: task, id, queue, attempt, trace id.

They are in a context variable, so that asyncio hands them to the tasks that a coroutine starts, and
`contextvars.copy_context` to a thread. Its name begins as those of structlog's own variables do, so that structlog's
`merge_contextvars`, a part of its default chain, has them in what it logs: as `cloudq`, an object.
"""

from __future__ import annotations

import re
import time
from contextvars import ContextVar, Token
from typing import Final, Self

from cloudq.core.printable import NAME_CHARS, shortened

# W3C Trace Context, section 3.2 (Recommendation of November 2021): version, trace id, parent id, flags; a later version
# may add more.
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class RunFields(dict[str, object]):
    """`with RunFields(...):` the fields of everything that is logged within the block.

    Args:
        task: The task's name, if the message can be read.
        id_: The message's id.
        queue: Where it was.
        attempt: The number of this run.
        traceparent: The trace that it belongs to, as W3C Trace Context writes it.

    Attributes:
        error: What decided the outcome, if something was raised; gone with the block, as its traceback holds on to the
            task's variables.
        began: When it was made, by `time.monotonic`.
        carried: The same by the names that they have on a log record, once there was one.
    """

    __slots__ = ("_token", "began", "carried", "error")

    def __init__(self, task: str | None, id_: str, queue: str, attempt: int, traceparent: str | None = None) -> None:
        if task is not None:
            self["task"] = shortened(task, NAME_CHARS)
        self["id"] = shortened(id_, NAME_CHARS)
        self["queue"] = queue
        self["attempt"] = attempt
        if traceparent is not None and (trace := trace_id(traceparent)) is not None:
            self["trace_id"] = trace
        self.carried: dict[str, object] | None = None
        self.error: BaseException | None = None
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self._token: Token[RunFields | None] = RUN_FIELDS.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.error = None
        try:  # noqa: SIM105 - suppress() takes as long as all the rest of this
            RUN_FIELDS.reset(self._token)
        except ValueError:
            pass  # a coroutine that nobody awaits to its end is closed in another context


RUN_FIELDS: Final[ContextVar[RunFields | None]] = ContextVar("structlog_cloudq")


def add_run_field(name: str, value: object) -> None:
    """Has everything carry this besides that is logged while the delivery is worked on; elsewhere it does nothing."""
    fields = RUN_FIELDS.get(None)
    if fields is not None:
        fields[name] = value
        fields.carried = None


def note_error(error: BaseException) -> None:
    """Keeps what decides the outcome of the delivery that is worked on here, for the line that says so."""
    fields = RUN_FIELDS.get(None)
    if fields is not None:
        fields.error = error


def trace_id(traceparent: str) -> str | None:
    """The id of the trace that a W3C `traceparent` names; `None` for what is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None
