"""A task as the emulator keeps it, and as it shows it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from cloudq.emulators.cloud_tasks.messages import TaskPb
from cloudq.emulators.cloud_tasks.problems import invalid

BASIC: Final = 1
FULL: Final = 2


class StoredTask:
    """A task of a queue. It changes with each attempt.

    Args:
        pb: The task without its body; the task's own from here on.
        body: Its body. Apart, as most views are without it.
        created: When it was created.
        due: When it is to be dispatched.
        deadline: How long an attempt may take.
        random: Whether its name is the emulator's own.
        place: How many tasks were created before it: the order of lists.
    """

    __slots__ = (
        "attempts",
        "body",
        "created",
        "deadline",
        "due",
        "executions",
        "first",
        "gone",
        "name",
        "pb",
        "place",
        "previous",
        "random",
        "running",
    )

    def __init__(
        self,
        *,
        pb: Any,
        body: bytes,
        created: datetime,
        due: datetime,
        deadline: timedelta,
        random: bool,
        place: int,
    ) -> None:
        self.pb = pb
        self.name: str = pb.name
        self.body = body
        self.created = created
        self.due = due
        self.deadline = deadline
        self.random = random
        self.place = place
        self.attempts = 0
        self.executions = 0  # the answers that were no 5xx
        self.previous: int | None = None  # the last answer's status
        self.first: datetime | None = None  # when the first attempt was dispatched
        self.running = 0
        self.gone = False

    def view(self, wanted: int) -> Any:
        """The task as a client sees it. "The basic view omits fields which can be large": the body."""
        if wanted not in {0, BASIC, FULL}:
            raise invalid("Invalid resource field value in the request.")
        shown = TaskPb()
        shown.CopyFrom(self.pb)
        shown.view = wanted or BASIC
        if wanted == FULL:
            shown.http_request.body = self.body
        return shown
