"""`ServerWorker`: a worker in a thread of the web server's process, for deployments that have one process only."""

from __future__ import annotations

import threading

from cloudq.app import App
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError
from cloudq.running.sweeping import sweeping
from cloudq.tasks.hooks import Process
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

logger = SafeLogger("cloudq.worker")


class ServerWorker:
    """Polls and runs tasks beside the requests, until it is stopped. Signals stay the server's.

    Args:
        app: Whose tasks.
        settings: How; without children, and without an end of its own.

    Raises:
        ConfigurationError: It can't work like this: see `Worker`; or the settings ask for what a server can't have.
        BackendError: The backend can't be opened.
    """

    def __init__(self, app: App, settings: WorkerSettings) -> None:
        for name, asked in (
            ("processes", settings.processes),
            ("burst", settings.burst),
            ("max_tasks", settings.max_tasks is not None),
            ("fail_fast", settings.fail_fast),
        ):
            if asked:
                raise ConfigurationError(
                    f"{name} is for a worker with a process of its own: this one ends with its server",
                    hint="leave it out, or start `cloudq worker`",
                )
        self._app = app
        app.load()
        self._worker = Worker(app, settings)
        self._hooks = Process(app.hooks)
        self._thread = threading.Thread(target=self._run, name="cloudq-server-worker", daemon=True)

    def start(self) -> None:
        """Calls the functions of `on_start`, and begins to poll.

        Raises:
            BaseException: What one of them raised.
            RuntimeError: No thread can be started.
        """
        self._hooks.start()
        try:
            self._thread.start()
        except BaseException:
            self._hooks.stop()
            raise

    def stop(self) -> None:
        """As the first signal to a worker does: returns once what runs has ended, or the grace is over."""
        self._worker.stop()
        self._thread.join()
        self._hooks.stop()

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            with sweeping(self._app):
                code = self._worker.run(signals=False)
        except BaseException:  # it is this thread's last act: nobody else would say it
            logger.exception("the worker within the server has ended; what is sent waits for another one")
            return
        if code:
            logger.error("the worker within the server has ended (%d); what is sent waits for another one", code)
