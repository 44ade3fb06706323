"""A worker's child process: `python -m cloudq.worker.child FD`. Runs one delivery at a time in its main thread.

It neither polls nor settles: the parent does, also while a task here holds the interpreter for minutes.
"""

from __future__ import annotations

import contextvars
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cloudq.core.redaction import Redact, mask_secrets
from cloudq.worker.frames import CannotStart, Channel, Done, Hello, LeaseIsLost, Ready, RunRequest

if TYPE_CHECKING:
    import asyncio

    from cloudq.app import App
    from cloudq.core.delivery import Delivery
    from cloudq.core.outcome import Outcome
    from cloudq.telemetry.reported import Reports

ORPHANED = 70  # EX_SOFTWARE: nobody would settle what runs here


class _Reader:
    """A thread that listens to the parent while the main thread runs a task."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.work: SimpleQueue[RunRequest | None] = SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by the lock: of the delivery at hand, or `None`.
        self._lost: threading.Event | None = None
        threading.Thread(target=self._run, name="cloudq-parent", daemon=True).start()

    def finish(self) -> None:
        """The main thread is done with the delivery at hand."""
        with self._lock:
            self._lost = None

    def lost_event(self) -> threading.Event:
        """Set once the lease of the delivery at hand is over."""
        with self._lock:
            return self._lost or threading.Event()

    def _run(self) -> None:
        try:
            while (frame := self._channel.to_child()) is not None:
                self._hear(frame)
        except OSError:
            pass  # the parent has gone, as below
        finally:
            self._leave_orphaned()

    def _hear(self, frame: Hello | RunRequest | LeaseIsLost) -> None:
        with self._lock:
            if isinstance(frame, LeaseIsLost) and self._lost is not None:
                self._lost.set()
            elif isinstance(frame, RunRequest):
                self._lost = threading.Event()
                self.work.put(frame)

    def _leave_orphaned(self) -> None:
        with self._lock:
            busy = self._lost is not None
        if busy:
            # Whatever the main thread is in the middle of: its message is, or will be, somebody else's.
            os._exit(ORPHANED)
        self.work.put(None)


class _ChildRunner:
    """Runs deliveries in the main thread; async ones on one event loop, made at the first of them."""

    def __init__(self, app: App) -> None:
        from cloudq.running.alarm_time_limit import AlarmTimeLimit
        from cloudq.running.processing import processor_of

        self._processor = processor_of(app, AlarmTimeLimit())
        self._loop: asyncio.Runner | None = None

    def run(self, delivery: Delivery, lost: threading.Event) -> Outcome:
        """Runs one."""
        handler = self._processor.handler_for(delivery)
        context = contextvars.Context()
        if handler is None or not handler.is_async:
            return context.run(self._process, delivery, lost)
        if self._loop is None:
            import asyncio

            self._loop = asyncio.Runner()
        return self._loop.run(self._aprocess(delivery, lost), context=context)

    def _process(self, delivery: Delivery, lost: threading.Event) -> Outcome:
        try:
            return self._processor.process(delivery, lease_lost=lost)
        except BaseException as error:  # noqa: BLE001 - no signal raises here (see `main`), so it is the task's own
            return self._processor.failed(delivery, error)

    async def _aprocess(self, delivery: Delivery, lost: threading.Event) -> Outcome:
        try:
            return await self._processor.aprocess(delivery, lease_lost=lost)
        except BaseException as error:  # noqa: BLE001 - nobody else cancels or interrupts what runs here
            return self._processor.failed(delivery, error)


def main(descriptor: int) -> int:
    """Works until the parent has gone.

    Args:
        descriptor: The child's end of the socket pair.

    Returns:
        The exit code: 0 done, 1 the app couldn't be loaded.
    """
    # The parent decides when to stop; a Ctrl-C reaches the whole group. A function rather than SIG_IGN, which the
    # programs that tasks start would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_it_to_the_parent)
    # Neither a program nor a fork that a task leaves behind may hold the line: the parent would wait for its answer.
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    os.register_at_fork(after_in_child=channel.close)
    hello = channel.to_child()
    if not isinstance(hello, Hello):
        return 1
    try:
        app = _load(hello)
        reports = _observed(app) if hello.reports else None
        runner = _ChildRunner(app)
        app.hooks.start()
    except BaseException as error:  # whatever the app's modules raise at import, the parent reports it
        channel.send(CannotStart(reason=f"{type(error).__name__}: {error}"))
        if not isinstance(error, Exception):
            raise
        return 1
    reader = _Reader(channel)
    with suppress(OSError):  # without a parent nothing is to be run, and what has started stops
        channel.send(Ready())
    while (request := reader.work.get()) is not None:
        outcome = runner.run(request.delivery(), reader.lost_event())
        reader.finish()
        done = Done.of(outcome, request.number)
        if reports is not None and (report := reports.take()) is not None:
            done = replace(done, report=report)
        try:
            channel.send(done)
        except OSError:
            return ORPHANED
    app.hooks.stop()
    return 0


def _observed(app: App) -> Reports:
    """Has what this process sends and calls counted, for the parent to serve."""
    from cloudq.telemetry.reported import Reports

    reports = Reports()
    app.observe(reports)
    return reports


def _load(hello: Hello) -> App:
    from pathlib import Path

    from cloudq.discovery import Found, load_app

    _log_as_told(hello, mask_secrets)
    # As the parent found it: the current folder may have changed since, and names another one.
    spec, folder = hello.app_spec, hello.app_folder
    found = spec if spec is None or folder is None else Found(spec, Path(folder), "the parent")
    app = load_app(found, safe_path=hello.safe_path)
    # Given to the parent by hand; what tasks send goes there, too.
    _log_as_told(hello, app.redact)
    if app.url != hello.url:
        app.configure(hello.url)
    if app.runtime.claim_check_url != hello.claim_check:
        app.configure(claim_check=hello.claim_check)
    if app.runtime.stores.url != hello.store:
        app.configure(store=hello.store)
    return app


def _log_as_told(hello: Hello, redact: Redact) -> None:
    if hello.log_format is not None:
        from cloudq.running.logs import configure

        configure(hello.log_format, hello.log_level, redact)


def _leave_it_to_the_parent(_number: int, _frame: FrameType | None) -> None:
    """Does nothing; a call that was interrupted is resumed."""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
