"""`Job`: what an enqueue gives back, with RQ's words for how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cloudq.errors import UnsupportedError
from cloudq.tasks.results import Result, Status
from cloudq.tasks.sent import Sent

if TYPE_CHECKING:
    from cloudq.compat.rq.connection import Connection

_STATUS: Final[Mapping[Status, str]] = {
    "waiting": "queued",
    "retried": "queued",
    "running": "started",
    "succeeded": "finished",
    "dead_lettered": "failed",
    "cancelled": "canceled",
}


class Job:
    """A job that is stored.

    Args:
        connection: Where.
        sent: What the send gave back, or the id of its message.

    Attributes:
        id: The message's id.
        sent: What the send gave back; `None` of a job that was fetched by its id.
    """

    def __init__(self, connection: Connection, sent: Sent[Any] | str) -> None:
        self.connection = connection
        self.sent = sent if isinstance(sent, Sent) else None
        self.id = sent.id if isinstance(sent, Sent) else sent

    def __repr__(self) -> str:
        """The id."""
        return f"Job({self.id!r})"

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says where RQ's other attributes are."""
            raise AttributeError(
                f"a Job of cloudq.compat.rq has no {name!r}; hint: what is noted of it is connection.result(job.id), "
                "what failed is in the dead-letter queue (cloudq dlq)"
            )

    def get_id(self) -> str:
        """The id."""
        return self.id

    def look(self) -> Result:
        """All that is noted of it.

        Raises:
            UnsupportedError: The connection keeps no results, or has no store.
            BackendError: The store can't be reached.
        """
        if self.connection.result_ttl is None:
            raise UnsupportedError("this connection keeps no results", hint="Connection(result_ttl=500)")
        return self.connection.result(self.id)

    def get_status(self, refresh: bool = True) -> str | None:
        """`queued`, `started`, `finished`, `failed` or `canceled`; `None` if nothing is noted of it any more.

        `queued` is also one whose time hasn't come yet, or that will run again.
        """
        del refresh  # it is always read anew
        return _STATUS.get(self.look().status)

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
