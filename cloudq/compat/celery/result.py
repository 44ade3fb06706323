"""`AsyncResult` and `EagerResult`: what a call gives back, in Celery's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cloudq.compat.celery import states
from cloudq.compat.celery.contracts import Home
from cloudq.compat.celery.current import current
from cloudq.compat.celery.exceptions import TaskError, TaskRevokedError, TimeoutError  # noqa: A004 - Celery's name
from cloudq.errors import NoResult, ResultTimeout, UnsupportedError
from cloudq.tasks.results import Result, Status

if TYPE_CHECKING:
    from cloudq.app import App

_STATES: Final[Mapping[Status, str]] = {
    "unknown": states.PENDING,
    "waiting": states.PENDING,
    "running": states.STARTED,
    "retried": states.RETRY,
    "succeeded": states.SUCCESS,
    "dead_lettered": states.FAILURE,
    "expired": states.REVOKED,
    "cancelled": states.REVOKED,
}
_FOREVER: Final = timedelta(days=3_650)


class AsyncResult:
    """A call that was sent. What its task returned is there if a store is set, and the task keeps results.

    Args:
        id: The message's id.
        app: Whose store knows of it; default: the current one's.
        task_name: The task's name, if it is known.
    """

    TimeoutError = TimeoutError

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        app: Home | None = None,
        task_name: str | None = None,
    ) -> None:
        self.id = id
        self._home = app
        self._task_name = task_name

    def __repr__(self) -> str:
        """The message's id."""
        return f"<AsyncResult: {self.id}>"

    def __str__(self) -> str:
        """The message's id, as programs store it."""
        return self.id

    def __eq__(self, other: object) -> bool:
        return self.id == (other.id if isinstance(other, AsyncResult) else other)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _app(self) -> App:
        if self._home is None:
            self._home = current()
        return self._home.cloudq

    @property
    def task_id(self) -> str:
        """The message's id."""
        return self.id

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        **others: Any,
    ) -> Any:
        """What the task returned, once it is done.

        Args:
            timeout: How many seconds to wait; `None`: until it is done.
            propagate: Whether a failure is raised, and not returned.
            **others: `interval` and `disable_sync_subtasks` have no meaning here, and others aren't taken.

        Raises:
            TimeoutError: It isn't done yet.
            TaskError: It failed, and is a dead letter. The text says why; the error itself doesn't travel.
            TaskRevokedError: It was cancelled, or had expired.
            UnsupportedError: No store is set, or an option can't be honoured.
        """
        for name in others:
            if name not in {"interval", "disable_sync_subtasks"}:
                raise UnsupportedError(f"AsyncResult.get: Celery's option {name!r} can't be honoured")
        span = _FOREVER if timeout is None else timedelta(seconds=timeout)
        try:
            return self._app.runtime.results.value(self.id, span)
        except ResultTimeout as error:
            raise TimeoutError(str(error)) from error
        except NoResult as error:
            failure = _failure(error.status, error.message)
            if failure is None:
                return None  # it succeeded, and what it returned isn't kept
            if propagate:
                raise failure from error
            return failure

    wait = get

    def _look(self) -> Result:
        return self._app.result(self.id)

    @property
    def state(self) -> str:
        """Celery's word for how far it has come."""
        return _STATES[self._look().status]

    status = state

    @property
    def result(self) -> Any:
        """What the task returned, or the error of why it didn't; `None` before that."""
        seen = self._look()
        return seen.value if seen.status == "succeeded" else _failure(seen.status, seen.reason)

    info = result

    @property
    def name(self) -> str | None:
        """The task's name, if it is known."""
        return self._task_name or self._look().task

    @property
    def retries(self) -> int:
        """How often it has been tried again."""
        return max(0, self._look().attempt - 1)

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether its task succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it is a dead letter."""
        return self.state == states.FAILURE

    def revoke(self, **others: Any) -> None:
        """Notes that it isn't wanted any more: see `cloudq.cancel_run`. What runs learns of it; none is killed.

        Raises:
            UnsupportedError: No store is set, or an option can't be honoured (`terminate`, `signal`, ...).
        """
        for name, value in others.items():
            if value not in (None, False):
                raise UnsupportedError(
                    f"AsyncResult.revoke: Celery's option {name!r} can't be honoured",
                    hint="a task sees context.cancelled, and a coroutine is cancelled",
                )
        self._app.cancel_run(self.id)

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what to do instead."""
            if name.startswith("_"):
                raise AttributeError(name)
            hint = RESULT_METHODS.get(name)
            raise AttributeError(
                f"AsyncResult has no {name!r} here" + (f"; hint: {hint}" if hint else ""), name=name, obj=self
            )


_NO_CANVAS: Final = "no canvas: the task that is done sends the next one"
RESULT_METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("children", "parent", "graph", "build_graph", "get_leaf", "iterdeps", "collect", "as_list", "as_tuple"),
        _NO_CANVAS,
    ),
    "then": "the task that is done sends the next one",
    "forget": "a result is kept for result_expires",
    "traceback": "a dead letter has it: `cloudq dlq show`",
    "date_done": "app.cloudq.result(id).at",
    **dict.fromkeys(("maybe_throw", "maybe_reraise", "throw"), "get() raises"),
    **dict.fromkeys(("args", "kwargs", "queue", "worker"), "app.cloudq.result(id) has what is noted"),
    **dict.fromkeys(("app", "backend", "exists", "ignored", "supports_native_join"), "app.cloudq"),
    "revoke_by_stamped_headers": "cloudq.cancel_run(id)",
}
"""What Celery's has besides, and what to do instead."""


def _failure(status: str, reason: str) -> Exception | None:
    state = _STATES.get(status)  # type: ignore[call-overload]  # a text of a record
    if state == states.FAILURE:
        return TaskError(reason)
    return TaskRevokedError(reason) if state == states.REVOKED else None


class EagerResult:
    """A call that ran at once.

    Args:
        id: The call's id.
        value: What the task returned, or the error.
        state: Celery's word for how it ended.
        traceback: Of the error, as a text.
        name: The task's name.
        retries: How often it was tried again.
    """

    TimeoutError = TimeoutError

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        value: Any,
        state: str,
        *,
        traceback: str | None,
        name: str,
        retries: int = 0,
    ) -> None:
        self.id = self.task_id = id
        self.result = self.info = value
        self.state = self.status = state
        self.traceback = traceback
        self.name = name
        self.retries = retries

    def __repr__(self) -> str:
        """The call's id."""
        return f"<EagerResult: {self.id}>"

    def __str__(self) -> str:
        """The call's id."""
        return self.id

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        **others: Any,
    ) -> Any:
        """What the task returned. Raises what it failed with, unless `propagate` is false."""
        del timeout, others  # it has ended
        if propagate and self.state == states.FAILURE:
            raise self.result
        return self.result

    wait = get

    def ready(self) -> bool:
        """It has ended."""
        return True

    def successful(self) -> bool:
        """Whether its task succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it failed."""
        return self.state == states.FAILURE

    def forget(self) -> None:
        """Nothing of it is kept."""
