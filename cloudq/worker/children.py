"""`ChildExecutor`: tasks run in child processes, one at a time each; the parent polls, renews and settles.

Processes are started anew, not forked: a fork of a process with threads may inherit locks that nobody holds any more.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.loading import LOAD_LIMIT
from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import TimeLimitExceeded, WorkerDied
from cloudq.running.backoff import Backoff
from cloudq.running.event_loop import Ended
from cloudq.running.held import HeldLease
from cloudq.running.log_fields import fields
from cloudq.running.logs import JsonFormatter, TextFormatter
from cloudq.worker import interpreter
from cloudq.worker.frames import CannotStart, Channel, Done, FrameError, Hello, LeaseIsLost, Ready, RunRequest
from cloudq.worker.intake import Intake

logger = SafeLogger("cloudq.worker")

# How long past its time limit a task may run before its process is killed.
HARD_LIMIT_MARGIN: Final = timedelta(seconds=5)
# How soon a child learns that a lease is lost.
LOOK: Final = timedelta(milliseconds=250)
# Importing an app takes seconds at most; a child that isn't ready by then hangs.
START_SECONDS: Final = 120.0
FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# A child that lived for this long is no sign of a crash loop.
LIVED: Final = timedelta(seconds=30)
# How many failed starts, for each child, before a worker gives up none of whose children has ever started.
START_TRIES: Final = 3
LEAVE_SECONDS: Final = 2.0


class _StartFailed(Exception):
    """A child didn't get ready; says why."""


class _Child:
    """One child process, ready to run."""

    def __init__(self, hello: Hello) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    interpreter.command(theirs.fileno()),
                    env=interpreter.environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                self._channel.close()
                raise
        self.born = SYSTEM_CLOCK.elapsed()
        try:
            self._channel.send(hello)
            self._await_ready()
        except BaseException:
            self.leave()
            raise

    def _await_ready(self) -> None:
        if not self._channel.wait(START_SECONDS):
            raise _StartFailed(f"it wasn't ready after {START_SECONDS:g} s")
        said = self._channel.from_child()
        if isinstance(said, CannotStart):
            raise _StartFailed(said.reason)
        if not isinstance(said, Ready):
            raise _StartFailed(self.how_it_ended())

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def run(self, held: HeldLease, hard_limit: timedelta | None) -> Outcome:
        """Runs a delivery.

        Raises:
            WorkerDied: The process ended first.
            TimeLimitExceeded: It was killed at the hard limit.
        """
        until = None if hard_limit is None else SYSTEM_CLOCK.elapsed() + hard_limit
        try:
            self._channel.send(RunRequest.of(held.delivery, expires_at=held.expires_at, ends=held.ends))
            self._await_answer(held, until)
            said = self._channel.from_child() if self._channel.wait(0) else None
        except OSError:
            said = None  # a broken connection is an end like any other
        if isinstance(said, Done):
            return said.outcome()
        raise WorkerDied(f"the process that ran the task (pid {self.pid}) {self.how_it_ended()}")

    def _await_answer(self, held: HeldLease, until: timedelta | None) -> None:
        told = False
        while True:
            left = LOOK if until is None else min(LOOK, max(timedelta(0), until - SYSTEM_CLOCK.elapsed()))
            if self._channel.wait(left.total_seconds()):
                return
            if not self.alive and not self._channel.wait(0):
                return  # nothing will come, though somebody whom it started may hold the line
            if held.lost.is_set() and not told:
                told = True
                self._channel.send(LeaseIsLost())
            if until is not None and SYSTEM_CLOCK.elapsed() >= until:
                self._process.kill()
                self._process.wait()
                raise TimeLimitExceeded("hard limit: the task ran on after its time limit, so its process was killed")

    def how_it_ended(self) -> str:
        """`exited with signal 9 (SIGKILL)`, once the process has ended; it is killed if it hasn't."""
        try:
            code = self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code >= 0:
            return f"exited with code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""  # real-time signals have none
        return f"exited with signal {-code}{name}"

    def leave(self) -> None:
        """Lets the process end, and kills it if it doesn't."""
        self._channel.close()
        self.how_it_ended()

    def kill(self) -> None:
        """Ends the process now, whatever it does; its thread sees the end."""
        self._process.kill()


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
        ended: Told each outcome.
        cannot_start: Called once if no child starts at all.
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
        ended: Ended,
        cannot_start: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._processor = processor
        self._hello = Hello(
            app_spec=app_spec,
            app_folder=app_folder,
            safe_path=sys.flags.safe_path,
            url=url,
            claim_check=claim_check,
            log_format=_log_format(),
            log_level=logging.getLogger().level,
        )
        self._ended = ended
        self._cannot_start = cannot_start
        self._processes = processes
        self._threads = Threads("cloudq-child", processes)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._served = threading.Condition(self._lock)
        # Guarded by the lock.
        self._servers = 0  # threads that keep a child each
        self._children: set[_Child] = set()
        self._any_started = False
        self._gave_up = False
        self.died = 0

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
        """Kills what still runs, and waits for the processes to be gone."""
        self._stopping.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.kill()
        self._threads.close()
        with self._served:
            self._served.wait_for(lambda: not self._servers, LEAVE_SECONDS)

    def _run(self) -> None:
        backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        child: _Child | None = None
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

    def _have_child(self, child: _Child | None, backoff: Backoff) -> _Child | None:
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
                return self._list(_Child(self._hello))
            except (_StartFailed, OSError, FrameError) as error:
                tries += 1
                logger.error("a child process can't start: %s", error)  # noqa: TRY400 - the traceback would be ours
                if tries >= START_TRIES and self._give_up():
                    return None
                self._stopping.wait(backoff.next().total_seconds())
        return None

    def _list(self, child: _Child) -> _Child:
        with self._lock:
            self._any_started = True
            self._children.add(child)
        if self._stopping.is_set():
            child.kill()  # `stop` may have looked before it was listed
        return child

    def _discard(self, child: _Child) -> None:
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

    def _serve(self, child: _Child, held: HeldLease) -> None:
        began = SYSTEM_CLOCK.elapsed()
        handler = self._processor.handler_for(held.delivery)
        limit = handler.time_limit if handler else None
        message = held.delivery.message
        margin = HARD_LIMIT_MARGIN + (LOAD_LIMIT if message and message.reference else timedelta(0))
        try:
            if handler is None:  # nothing runs; and what is remembered of it is remembered here
                outcome = self._processor.process(held.delivery)
            else:
                outcome = child.run(held, None if limit is None else limit + margin)
        except Exception as error:  # noqa: BLE001 - whatever it is costs this delivery an attempt, never the thread
            if not self._stopping.is_set():
                with self._lock:
                    self.died += 1
                logger.error("%s", error, extra=fields(held.delivery))  # noqa: TRY400 - the traceback would be ours
            child.kill()  # what it says from now on, if it lives, belongs to no delivery
            outcome = self._processor.failed(held.delivery, error)
        try:
            self._ended(held, outcome, (SYSTEM_CLOCK.elapsed() - began).total_seconds())
        except Exception:
            logger.exception("the end of %s could not be recorded", held.delivery.id)


def _log_format() -> Literal["text", "json"] | None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            return "json"
        if isinstance(handler.formatter, TextFormatter):
            return "text"
    return None
