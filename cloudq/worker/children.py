"""`ChildExecutor`: tasks run in child processes, one at a time each; the parent polls, renews and settles.

Processes are started anew, not forked: a fork of a process with threads may inherit locks that nobody holds any more.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from cloudq.app import App
from cloudq.core.capabilities import Capabilities
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.delivery import Delivery
from cloudq.core.loading import LOAD_LIMIT
from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import ConfigurationError
from cloudq.queues.store_connection import STORE_VARIABLE
from cloudq.queues.urls import CLAIM_CHECK_VARIABLE, parse_claim_check
from cloudq.running.backoff import Backoff
from cloudq.running.event_loop import Ended
from cloudq.running.held import HeldLease
from cloudq.running.log_fields import fields
from cloudq.running.logs import format_in_use
from cloudq.telemetry.reported import Report
from cloudq.worker.child_process import LEAVE_SECONDS, ChildProcess, StartFailed
from cloudq.worker.frames import FrameError, FrameTooLarge, Hello
from cloudq.worker.intake import Intake
from cloudq.worker.settings import WorkerSettings

logger = SafeLogger("cloudq.worker")

# How long past its time limit a task may run before its process is killed.
HARD_LIMIT_MARGIN: Final = timedelta(seconds=5)
FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# A child that lived for this long is no sign of a crash loop.
LIVED: Final = timedelta(seconds=30)
# How many failed starts, for each child, before a worker gives up none of whose children has ever started.
START_TRIES: Final = 3


class ChildExecutor:
    """Keeps `processes` children, each with a thread that passes it deliveries.

    Args:
        intake: Where the work comes from.
        processor: Decides about deliveries whose process died.
        processes: How many children.
        app_spec: What the children load.
        app_folder: From where; `None`: from the current folder.
        url: The backend that the tasks send to.
        claim_check: The store of large payloads, if there is one.
        store: That of idempotency keys, if there is one.
        ended: Told each outcome.
        cannot_start: Called once if no child starts at all.
        reported: Given what a child has counted beside its tasks; `None`: they count nothing.
        began: As the threads'.
    """

    def __init__(
        self,
        intake: Intake,
        processor: Processor[Any],
        *,
        processes: int,
        app_spec: str | None,
        app_folder: str | None = None,
        url: str,
        claim_check: str | None,
        store: str | None = None,
        ended: Ended,
        cannot_start: Callable[[], None],
        began: Callable[[Delivery], None] = lambda _: None,
        reported: Callable[[Report], None] | None = None,
    ) -> None:
        self._intake = intake
        self._processor = processor
        self._hello = Hello(
            app_spec=app_spec,
            app_folder=app_folder,
            safe_path=sys.flags.safe_path,
            url=url,
            claim_check=claim_check,
            store=store,
            log_format=format_in_use(),
            log_level=logging.getLogger().level,
            reports=reported is not None,
        )
        self._reported = reported
        self._ended = ended
        self._began = began
        self._cannot_start = cannot_start
        self._processes = processes
        self._threads = Threads("cloudq-child", processes)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._served = threading.Condition(self._lock)
        # Guarded by the lock.
        self._servers = 0  # threads that keep a child each
        self._children: set[ChildProcess] = set()
        self._busy: set[ChildProcess] = set()
        self._any_started = False
        self._gave_up = False
        self.died = 0

    @classmethod
    def of(
        cls,
        app: App,
        settings: WorkerSettings,
        intake: Intake,
        processor: Processor[Any],
        *,
        queues: Iterable[Capabilities],
        ended: Ended,
        cannot_start: Callable[[], None],
        began: Callable[[Delivery], None] = lambda _: None,
        reported: Callable[[Report], None] | None = None,
    ) -> ChildExecutor:
        """That of a worker, whose children work for the same app, backend and stores.

        Raises:
            ConfigurationError: What they send, store or claim would be seen by nobody else.
        """
        refuse_what_is_not_shared(app, queues)
        return cls(
            intake,
            processor,
            processes=settings.processes,
            app_spec=settings.app_spec,
            app_folder=settings.app_folder,
            url=app.url,
            claim_check=app.runtime.claim_check_url,
            store=app.runtime.stores.url,
            ended=ended,
            cannot_start=cannot_start,
            reported=reported,
            began=began,
        )

    @property
    def starved(self) -> bool:
        """Whether no thread can be started that would keep a child."""
        return self._threads.starved

    @property
    def pids(self) -> list[int]:
        """Of the children that are ready."""
        with self._lock:
            return [child.pid for child in self._children]

    def start(self) -> None:
        """Starts the children."""
        self.more()

    def more(self) -> None:
        """Sees to it that each child has a thread, which keeps it alive and waits for work."""
        with self._lock:
            missing = 0 if self._gave_up or self._stopping.is_set() else self._processes - self._servers
            self._servers += missing
        for _ in range(missing):
            if not self._threads.start(self._run):
                self._end_serving()  # none can be started; the next call tries again

    def stop(self) -> None:
        """Kills those in which a task still runs, and waits until all are gone: the others end by themselves."""
        with self._lock:
            self._stopping.set()
            children = list(self._busy)
        for child in children:
            child.kill()
        self._threads.close()
        with self._served:
            self._served.wait_for(lambda: not self._servers, 2 * LEAVE_SECONDS)

    def _run(self) -> None:
        backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        child: ChildProcess | None = None
        try:
            while (child := self._have_child(child, backoff)) is not None and (held := self._intake.take()) is not None:
                # It may have died while it had nothing to do: then this delivery isn't to blame.
                if (child := self._have_child(child, backoff)) is None:
                    return
                self._serve(child, held)
        finally:
            if child is not None:
                self._discard(child)
            self._end_serving()

    def _end_serving(self) -> None:
        with self._served:
            self._servers -= 1
            self._served.notify_all()

    def _have_child(self, child: ChildProcess | None, backoff: Backoff) -> ChildProcess | None:
        """The child, if it lives, or a new one. Tried forever, unless none of them has ever started."""
        if child is not None and child.alive:
            return child
        if child is not None:
            self._discard(child)
            if SYSTEM_CLOCK.elapsed() - child.born > LIVED:
                backoff.reset()
            self._stopping.wait(backoff.next().total_seconds())
        tries = 0
        while not self._stopping.is_set():
            try:
                return self._list(ChildProcess(self._hello, self._reported))
            except (StartFailed, OSError, FrameError) as error:
                tries += 1
                logger.error("a child process can't start: %s", error)  # noqa: TRY400 - the traceback would be ours
                if tries >= START_TRIES and self._give_up():
                    return None
                self._stopping.wait(backoff.next().total_seconds())
        return None

    def _list(self, child: ChildProcess) -> ChildProcess:
        with self._lock:
            self._any_started = True
            self._children.add(child)
        return child  # at a stop nothing is left for it to take, and it ends by itself

    def _discard(self, child: ChildProcess) -> None:
        with self._lock:
            self._children.discard(child)
        child.leave()

    def _give_up(self) -> bool:
        with self._lock:
            if self._any_started:
                return False
            first, self._gave_up = not self._gave_up, True
        if first:
            self._cannot_start()
        return True

    def _serve(self, child: ChildProcess, held: HeldLease) -> None:
        began = SYSTEM_CLOCK.elapsed()
        with self._lock:
            if self._stopping.is_set():
                return  # it was given up
            self._busy.add(child)
        try:
            outcome = self._run_in(child, held, began)
        finally:
            # Before its end is known, behind which everything may stop: the child is to end by itself then.
            with self._lock:
                self._busy.discard(child)
        try:
            self._ended(held, outcome, (SYSTEM_CLOCK.elapsed() - began).total_seconds())
        except Exception:
            logger.exception("the end of %s could not be recorded", held.delivery.id)

    def _run_in(self, child: ChildProcess, held: HeldLease, began: timedelta) -> Outcome:
        self._began(held.delivery)
        handler = self._processor.handler_for(held.delivery)
        limit = handler.time_limit if handler else None
        message = held.delivery.message
        margin = HARD_LIMIT_MARGIN + (LOAD_LIMIT if message and message.reference else timedelta(0))
        try:
            # Nothing runs; what is remembered of it is remembered here. And what isn't signed gets to no child, which
            # knows the settings of the module that it imports, not those that this process was given by hand.
            if handler is None or not self._processor.believes(held.delivery):
                return self._processor.process(held.delivery)
            return child.run(held, None if limit is None else limit + margin)
        except FrameTooLarge as error:
            return self._processor.failed(held.delivery, error, ran=SYSTEM_CLOCK.elapsed() - began)
        except Exception as error:  # noqa: BLE001 - whatever it is costs this delivery an attempt, never the thread
            if not self._stopping.is_set():
                with self._lock:
                    self.died += 1
                logger.error("%s", error, extra=fields(held.delivery))  # noqa: TRY400 - the traceback would be ours
            child.kill()  # what it says from now on, if it lives, belongs to no delivery
            return self._processor.failed(held.delivery, error, ran=SYSTEM_CLOCK.elapsed() - began)


def refuse_what_is_not_shared(app: App, queues: Iterable[Capabilities]) -> None:
    """Refuses child processes where what they send, store or claim would be seen by nobody else.

    Raises:
        ConfigurationError: The backend, or a store of the app's, lives in one process, or was lent to this one.
    """
    if app.runtime.lent:
        raise ConfigurationError(
            "the app works with a driver that was lent to it, which can't be passed to child processes",
            hint="use threads (processes=0), or open the backend by its URL",
        )
    if not all(capabilities.shared for capabilities in queues):
        raise ConfigurationError(
            "this backend lives in one process: what tasks in others send would be lost",
            hint="use sqlite:///cloudq.db, or threads (processes=0)",
        )
    if (app.runtime.stores.url or "").startswith("memory://"):
        raise ConfigurationError(
            "a store in memory lives in one process: the same key would be claimed in each of the others",
            hint=f"{STORE_VARIABLE}=sqlite:///cloudq.db, or threads (processes=0)",
        )
    payloads = app.runtime.claim_check_url
    if payloads is not None and parse_claim_check(payloads).location.startswith("memory://"):
        raise ConfigurationError(
            "a claim-check store in memory lives in one process: large payloads that others send would be lost",
            hint=f"{CLAIM_CHECK_VARIABLE}=file:///var/lib/app/payloads, or threads (processes=0)",
        )
