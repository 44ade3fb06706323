"""`Worker`: for scripts that start RQ's worker themselves. It runs jobs here, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from cloudq.compat.rq.connection import Connection, Seconds, life_of_results
from cloudq.compat.rq.queue import Queue
from cloudq.compat.rq.words import WORK, WORKER
from cloudq.errors import ConfigurationError, OptionError

if TYPE_CHECKING:
    from cloudq.worker.service import Worker as Service

_IN_ORDER: Final = "default"
_BY_TURNS: Final = "round_robin"


class _Kind(type):
    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(cls, name):
            """Raises an AttributeError that says what there is in the place of RQ's methods of the class."""
            raise WORKER.absent("a Worker", name, _OTHERWISE)


_OTHERWISE: Final = "cloudq.worker.service.Worker is cloudq's own"


class Worker(metaclass=_Kind):
    """Runs the jobs of queues until a signal stops it, or it is done. `cloudq worker` does it with more options.

    Jobs run in this process, one at a time, as those of RQ's `SimpleWorker` do: one that kills its process takes the
    worker along, and is handed to another one. The first SIGTERM or SIGINT lets the job that runs finish, for up to 30
    seconds; a second one ends the worker now.

    Args:
        queues: Names, or `Queue`s of one connection. The first one's jobs go first; of a later one some may be in hand
            before that one is empty.
        name: Kept as its attribute, nothing else: there is no list of workers.
        default_result_ttl: As the connection's `result_ttl`; another one is refused.
        connection: That of the queues by itself.
        **refused: What else RQ's takes is refused by its name.

    Raises:
        ConfigurationError: There is no connection, or there are several.
        OptionError: An option can't be honoured, or there is no queue.
    """

    def __init__(
        self,
        queues: str | Queue | Sequence[str | Queue],
        name: str | None = None,
        default_result_ttl: Seconds | None = None,
        connection: Connection | None = None,
        **refused: Any,
    ) -> None:
        refused.pop("log_job_description", None)  # no log line has one
        WORKER.refuse(refused, "a worker")
        asked = [queues] if isinstance(queues, (str, Queue)) else list(queues)
        for queue in asked:
            if isinstance(queue, Queue):
                connection = connection or queue.connection
        self.queues = [queue if isinstance(queue, Queue) else Queue(queue, connection=connection) for queue in asked]
        if not self.queues or connection is None:
            raise OptionError("a worker needs a queue", hint='Worker(["important"], connection=redis)')
        if any(queue.connection is not connection for queue in self.queues):
            raise ConfigurationError("the queues of a worker are of one connection", hint="start a worker for each")
        if default_result_ttl is not None and life_of_results(default_result_ttl) != connection.result_ttl:
            raise OptionError(
                "default_result_ttl of a worker can't be honoured",
                hint=f"Connection(..., result_ttl={default_result_ttl!r})",
            )
        self.connection = connection
        self.name = name or uuid4().hex
        self._service: Service | None = None
        self._stops = False

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what there is in the place of RQ's other attributes."""
            raise WORKER.absent("a Worker", name, _OTHERWISE)

    def queue_names(self) -> list[str]:
        """The names of its queues."""
        return [queue.name for queue in self.queues]

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        *,
        max_jobs: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: str = _IN_ORDER,
        **refused: Any,
    ) -> bool:
        """Runs jobs until a signal stops it, or it is done. Signals are caught in the main thread.

        Args:
            burst: Whether to end once the queues are empty. What waits for its time stays.
            logging_level: Of all log lines, to stderr. By itself INFO, where the program has set up no logging.
            max_jobs: After how many to end.
            with_scheduler: Nothing has to be started for jobs that wait for their time.
            dequeue_strategy: `default`: in the order of the queues; `round_robin`: by turns.
            **refused: What else RQ's takes is refused by its name.

        Returns:
            Whether a job was begun. What went wrong with the worker itself is logged.

        Raises:
            OptionError: An option can't be honoured.
            ConfigurationError: It can't work like this: a backend that pushes, a module that can't be imported.
            BackendError: The backend can't be opened.
        """
        from cloudq.running.logs import configure
        from cloudq.running.sweeping import sweeping
        from cloudq.worker.service import Worker as Service
        from cloudq.worker.settings import WorkerSettings

        del with_scheduler
        self._service, self._stops = None, False
        WORK.refuse(refused, "work")
        if dequeue_strategy not in (_IN_ORDER, _BY_TURNS):
            raise OptionError(
                "dequeue_strategy of work can't be honoured", hint=f'"{_IN_ORDER}" or "{_BY_TURNS}": random is none'
            )
        if logging_level is not None or not logging.getLogger().handlers:
            configure(level=logging_level or "INFO", redact=self.connection.redact)
        self.connection.load()
        settings = WorkerSettings(
            queues=dict.fromkeys(self.queue_names(), 1),
            strict=dequeue_strategy == _IN_ORDER,
            concurrency=1,
            burst=burst,
            max_tasks=max_jobs,
        )
        self._service = service = Service(self.connection, settings)
        if self._stops:  # asked for while modules were imported, which may take its time
            return False
        with sweeping(self.connection):
            service.run()
        return service.snapshot().started > 0

    def request_stop(self, signum: int | None = None, frame: object = None) -> None:
        """As the first signal does: the job that runs is finished, then `work` returns. For a handler of your own.

        Before `work` is called, there is nothing to stop.
        """
        del signum, frame
        self._stops = True
        if self._service is not None:
            self._service.stop()


class SimpleWorker(Worker):
    """The same: each runs jobs in its own process."""
