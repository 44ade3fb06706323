"""`Job`: what an enqueue gives back and what runs, with RQ's words for what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from cloudq.compat.rq.connection import Connection
from cloudq.compat.rq.exceptions import NoSuchJobError
from cloudq.compat.rq.job_headers import DESCRIPTION, RETRY, meta_of
from cloudq.compat.rq.retrying import read
from cloudq.compat.rq.words import JOB
from cloudq.errors import UnsupportedError
from cloudq.tasks.context import app_of, maybe_current
from cloudq.tasks.results import Result, Status
from cloudq.tasks.sent import Sent


class JobStatus(StrEnum):
    """Those of RQ's words for how far a job has come that there are here."""

    QUEUED = "queued"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"


_STATUS: Final[Mapping[Status, JobStatus]] = {
    "waiting": JobStatus.QUEUED,
    "retried": JobStatus.QUEUED,
    "running": JobStatus.STARTED,
    "succeeded": JobStatus.FINISHED,
    "dead_lettered": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELED,
}


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job whose message was made or is run here.

    Attributes:
        task: The task's name.
        queue: Where it was sent to.
        payload: Its arguments by name.
        headers: Its headers.
        sent_at: When it was sent; `None` where it was made.
        attempt: The number of the run, from 1; 0 where it was made.
    """

    task: str
    queue: str
    payload: Mapping[str, object]
    headers: Mapping[str, str]
    sent_at: datetime | None = None
    attempt: int = 0


class Job:
    """A job that is stored, or that runs.

    Args:
        connection: Where.
        sent: What the send gave back, or the id of its message.
        known: What is known besides.

    Attributes:
        id: The message's id.
        sent: What the send gave back; `None` of a job that runs, or was fetched by its id.
    """

    def __init__(self, connection: Connection, sent: Sent[Any] | str, known: Known | None = None) -> None:
        self.connection = connection
        self.sent = sent if isinstance(sent, Sent) else None
        self.id = sent.id if isinstance(sent, Sent) else sent
        self._known = known

    @classmethod
    def fetch(cls, id: str, connection: Connection) -> Self:  # noqa: A002 - RQ's word
        """The job of that id.

        Raises:
            NoSuchJobError: Nothing is noted of it.
            UnsupportedError: The connection keeps no results, or has no store.
        """
        job = cls(connection, id)
        job.refresh()
        return job

    @classmethod
    def fetch_many(cls, job_ids: Iterable[str], connection: Connection) -> list[Self | None]:
        """The jobs of these ids, in order; `None` for one of which nothing is noted. Else it raises as `fetch`."""
        return [cls(connection, id_) if cls.exists(id_, connection) else None for id_ in job_ids]

    @classmethod
    def exists(cls, job_id: str, connection: Connection) -> bool:
        """Whether something is noted of it. Raises as `fetch` where that can't be known."""
        return cls(connection, job_id).look().status != "unknown"

    def __repr__(self) -> str:
        """The id."""
        return f"Job({self.id!r})"

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says where RQ's other attributes are."""
            raise JOB.absent("a Job", name, "what is noted of it is connection.result(job.id)")

    @property
    def origin(self) -> str:
        """The name of its queue. Raises as `kwargs`."""
        return self._know("origin").queue

    @property
    def func_name(self) -> str:
        """The name of its task: `pages.is_page_ok`. Raises as `kwargs`."""
        return self._know("func_name").task

    @property
    def kwargs(self) -> Mapping[str, object]:
        """All of its arguments by their names, as JSON has them.

        Raises:
            UnsupportedError: It was fetched by its id, of which that isn't noted.
        """
        return self._know("kwargs").payload

    @property
    def description(self) -> str | None:
        """What was given as that to the enqueue. Raises as `kwargs`."""
        return self._know("description").headers.get(DESCRIPTION)

    @property
    def meta(self) -> Mapping[str, Any]:
        """What was given as that to the enqueue: it can be read, and not changed. Raises as `kwargs`."""
        return MappingProxyType(meta_of(self._know("meta").headers))

    def get_meta(self, refresh: bool = True) -> Mapping[str, Any]:
        """As `meta`."""
        del refresh  # it doesn't change
        return self.meta

    @property
    def enqueued_at(self) -> datetime | None:
        """When it was sent, if it runs here. Raises as `kwargs`."""
        return self._know("enqueued_at").sent_at

    created_at = enqueued_at

    @property
    def timeout(self) -> float | None:
        """After how many seconds a run of its function is ended, or `None` for never. Raises as `kwargs`."""
        task = self.connection.tasks.get(self._know("timeout").task)
        limit: timedelta | None = None if task is None else task.time_limit
        return None if limit is None else limit.total_seconds()

    @property
    def number_of_retries(self) -> int:
        """How often it ran before this run. Raises as `kwargs`."""
        return max(self._know("number_of_retries").attempt - 1, 0)

    @property
    def retries_left(self) -> int | None:
        """How many runs more its enqueue's `Retry` gives it; `None` without one. Raises as `kwargs`."""
        asked = read(self._know("retries_left").headers.get(RETRY))
        return None if asked is None else max(asked.max - self.number_of_retries, 0)

    def refresh(self) -> None:
        """Looks whether something is noted of it; all that is asked of it is read anew, always.

        Raises:
            NoSuchJobError: Nothing is, or not any more.
            UnsupportedError: The connection keeps no results, or has no store.
        """
        if self.look().status == "unknown":
            raise NoSuchJobError(f"no such job: {self.id}")

    def get_id(self) -> str:
        """The id."""
        return self.id

    def look(self) -> Result:
        """All that is noted of it.

        Raises:
            UnsupportedError: The connection keeps no results, or has no store.
            BackendError: The store can't be reached.
        """
        if not self.connection.keeps_results(None if self._known is None else self._known.task):
            raise UnsupportedError("this connection keeps no results", hint="Connection(result_ttl=500)")
        return self.connection.result(self.id)

    def get_status(self, refresh: bool = True) -> JobStatus | None:
        """`queued`, `started`, `finished`, `failed` or `canceled`; `None` if nothing is noted of it any more.

        `queued` is also one whose time hasn't come yet, or that will run again.
        """
        del refresh  # it is always read anew
        seen = self.look()
        status = _STATUS.get(seen.status)
        return JobStatus.CANCELED if status is JobStatus.QUEUED and seen.unwanted else status

    def return_value(self, refresh: bool = False) -> Any:
        """What the function returned; `None` while it hasn't, and where that isn't kept. Waits for nothing.

        `job.sent.result()` waits.
        """
        del refresh
        return self.look().value

    @property
    def result(self) -> Any:
        """As `return_value`, whose older name it is."""
        return self.return_value()

    @property
    def is_queued(self) -> bool:
        """Whether it waits."""
        return self.get_status() == "queued"

    @property
    def is_started(self) -> bool:
        """Whether it runs."""
        return self.get_status() == "started"

    @property
    def is_finished(self) -> bool:
        """Whether it is done."""
        return self.get_status() == "finished"

    @property
    def is_failed(self) -> bool:
        """Whether it failed for good: it is in the dead-letter queue."""
        return self.get_status() == "failed"

    @property
    def is_canceled(self) -> bool:
        """Whether it was cancelled."""
        return self.get_status() == "canceled"

    def cancel(self) -> None:
        """Has it not run: one that waits won't; one that runs learns of it, see `App.cancel_run`.

        Raises:
            UnsupportedError: The connection keeps no results, and so notes nothing.
            BackendError: The store can't be reached.
        """
        self.look()
        self.connection.cancel_run(self.id)

    def _know(self, what: str) -> Known:
        if self._known is None:
            raise UnsupportedError(
                f"{what} of job {self.id} isn't noted",
                hint="the job that an enqueue gave has it, and the one that runs",
            )
        return self._known


def get_current_job(connection: Connection | None = None) -> Job | None:
    """The job that runs here, also of a task that was declared with `@connection.task`; `None` if none does.

    Args:
        connection: As in RQ, it isn't needed: the job knows its own.
    """
    del connection
    context = maybe_current()
    home = None if context is None else app_of(context)
    if context is None or not isinstance(home, Connection):
        return None
    message = context.message
    known = Known(
        task=message.task,
        queue=message.queue,
        payload=message.payload,
        headers=message.headers,
        sent_at=message.sent_at,
        attempt=context.attempt,
    )
    return Job(home, message.id, known)


def cancel_job(job_id: str, connection: Connection) -> None:
    """As `Job.cancel`, of the job of that id."""
    Job(connection, job_id).cancel()
