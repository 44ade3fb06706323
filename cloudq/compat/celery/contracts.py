"""What the parts of an app in Celery's words ask of each other: no module of these needs another one's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cloudq.app import App
from cloudq.compat.celery.settings import Settings
from cloudq.tasks.task import Task


class Home(Protocol):
    """An app, as far as its tasks need to know it."""

    conf: Settings

    @property
    def cloudq(self) -> App:
        """The App of cloudq's that has its tasks."""
        ...

    def finalize(self) -> None:
        """Declares all tasks that are known by now."""
        ...

    def declare(self, task: Any) -> Task[..., Any]:
        """Declares one that came late."""
        ...

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Sends a task by its name."""
        ...


class Runnable(Protocol):
    """A task, as far as a run or a call of it needs to know it."""

    name: str
    bound: bool
    function: Callable[..., Any]
    autoretry_for: Sequence[type[Exception]]
    dont_autoretry_for: Sequence[type[Exception]]
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: int
    retry_jitter: bool
    time_limit: float | None
    soft_time_limit: float | None
    ignore_result: bool | None

    @property
    def has_its_own_call(self) -> bool:
        """Whether a base of the program's own has a `__call__`, which goes around each run."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls its function here and now."""
        ...

    @property
    def app(self) -> Home:
        """Its app."""
        ...

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What it does."""
        ...

    def retry(self, *, exc: BaseException | None = None, **options: Any) -> BaseException:
        """Raises what has it run again."""
        ...

    def bound_arguments(self, payload: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What its function is called with for a payload."""
        ...

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Sends a call of it."""
        ...

    def apply(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Runs it at once."""
        ...
