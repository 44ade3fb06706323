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
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal

from cloudq.core.loading import LOAD_LIMIT
from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import TimeLimitExceeded, WorkerDied
from cloudq.running.backoff import Backoff
from cloudq.running.event_loop import Ended
from cloudq.running.held import HeldLease
from cloudq.running.log_fields import fields
from cloudq.running.logs import JsonFormatter, TextFormatter
from cloudq.worker.frames import CannotStart, Channel, Done, FrameError, Hello, LeaseIsLost, Ready, Run
from cloudq.worker.intake import Intake

logger = SafeLogger("cloudq.worker")

# So much longer than its time limit may a task take before its process is killed.
HARD_LIMIT_MARGIN: Final = timedelta(seconds=5)
# How soon a child learns that a lease is lost.
LOOK_SECONDS: Final = 0.25
# Importing an app takes seconds at most; a child that isn't ready by then hangs.
START_SECONDS: Final = 120.0
FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# A child that lived so long is no sign of a crash loop.
LIVED_SECONDS: Final = 30.0
# Tries before a worker none of whose children has ever started gives up, for each child.
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
                    [sys.executable, "-m", "cloudq.worker.child", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                self._channel.close()
                raise
        self.born = time.monotonic()
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
        until = None if hard_limit is None else time.monotonic() + hard_limit.total_seconds()
        try:
            self._channel.send(Run.of(held.delivery, expires_at=held.expires_at, ends=held.ends))
            self._await_answer(held, until)
            said = self._channel.from_child() if self._channel.wait(0) else None
        except OSError:
            said = None  # a broken connection is an end like any other
        if isinstance(said, Done):
            return said.outcome()
        raise WorkerDied(f"the process that ran the task (pid {self.pid}) {self.how_it_ended()}")

    def _await_answer(self, held: HeldLease, until: float | None) -> None:
        told = False
        while True:
            left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, max(0.0, until - time.monotonic()))
            if self._channel.wait(left):
                return
            if not self.alive and not self._channel.wait(0):
                return  # nothing will come, though somebody whom it started may hold the line
            if held.lost.is_set() and not told:
                told = True
                self._channel.send(LeaseIsLost())
            if until is not None and time.monotonic() >= until:
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
        url: str,
        claim_check: str | None,
        ended: Ended,
        cannot_start: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._processor = processor
        self._hello = Hello(
            app_spec=app_spec,
            url=url,
            claim_check=claim_check,
            log_format=_log_format(),
            log_level=logging.getLogger().level,
        )
        self._ended = ended
        self._cannot_start = cannot_start
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._children: set[_Child] = set()
        self._any_started = False
        self._gave_up = False
        self.died = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"cloudq-child-{number}", daemon=True)
            for number in range(1, processes + 1)
        ]

    @property
    def starved(self) -> bool:
        """Whether none of the children is ready, after at least one was: nothing runs until one starts."""
        with self._lock:
            return self._any_started and not self._children

    @property
    def pids(self) -> list[int]:
        """Of the children that are ready."""
        with self._lock:
            return [child.pid for child in self._children]

    def start(self) -> None:
        """Starts the children."""
        for thread in self._threads:
            thread.start()

    def more(self) -> None:
        """Nothing to do: each ready child has a thread that waits for work."""

    def stop(self) -> None:
        """Kills what still runs, and waits for the processes to be gone."""
        self._stopping.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.kill()
        until = time.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        child: _Child | None = None
        try:
            while (child := self._living(child, backoff)) is not None and (held := self._intake.take()) is not None:
                # It may have died while it had nothing to do: then this delivery isn't to blame.
                if (child := self._living(child, backoff)) is None:
                    return
                self._serve(child, held)
        finally:
            if child is not None:
                self._left(child)

    def _living(self, child: _Child | None, backoff: Backoff) -> _Child | None:
        """The child, if it lives, or a new one. Tried for ever, unless none of them has ever started."""
        if child is not None and child.alive:
            return child
        if child is not None:
            self._left(child)
            if time.monotonic() - child.born > LIVED_SECONDS:
                backoff.reset()
            self._stopping.wait(backoff.next().total_seconds())
        tries = 0
        while not self._stopping.is_set():
            try:
                return self._listed(_Child(self._hello))
            except (_StartFailed, OSError, FrameError) as error:
                tries += 1
                logger.error("a child process can't start: %s", error)  # noqa: TRY400 - the traceback would be ours
                if tries >= START_TRIES and self._give_up():
                    return None
                self._stopping.wait(backoff.next().total_seconds())
        return None

    def _listed(self, child: _Child) -> _Child:
        with self._lock:
            self._any_started = True
            self._children.add(child)
        if self._stopping.is_set():
            child.kill()  # `stop` may have looked before it was listed
        return child

    def _left(self, child: _Child) -> None:
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
        began = time.monotonic()
        handler = self._processor.handler_for(held.delivery)
        limit = handler.time_limit if handler else None
        message = held.delivery.message
        margin = HARD_LIMIT_MARGIN + (LOAD_LIMIT if message and message.reference else timedelta(0))
        try:
            outcome = child.run(held, None if limit is None else limit + margin)
        except (WorkerDied, TimeLimitExceeded, FrameError) as error:
            if not self._stopping.is_set():
                with self._lock:
                    self.died += 1
                logger.error("%s", error, extra=fields(held.delivery))  # noqa: TRY400 - the traceback would be ours
            child.kill()  # what it says from now on, if it lives, belongs to no delivery
            outcome = self._processor.failed(held.delivery, error)
        self._ended(held, outcome, time.monotonic() - began)


def _log_format() -> Literal["text", "json"] | None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            return "json"
        if isinstance(handler.formatter, TextFormatter):
            return "text"
    return None
