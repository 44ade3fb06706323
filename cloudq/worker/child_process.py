"""`ChildProcess`: one child of a worker, as its parent sees it: started, given deliveries, and ended."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import Outcome
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import TimeLimitExceeded, WorkerDied
from cloudq.running.held import HeldLease
from cloudq.telemetry.reported import Report
from cloudq.worker import interpreter
from cloudq.worker.frames import CannotStart, Channel, Done, FromChild, Hello, LeaseIsLost, Ready, RunRequest

logger = SafeLogger("cloudq.worker")

# How soon a child learns that a lease is lost.
LOOK: Final = timedelta(milliseconds=250)
# Importing an app takes seconds at most; a child that isn't ready by then hangs.
START_SECONDS: Final = 120.0
LEAVE_SECONDS: Final = 2.0


class StartFailed(Exception):
    """A child didn't get ready; says why."""


class ChildProcess:
    """One child process, ready to run.

    Args:
        hello: What it works for.
        reported: Given what it has counted beside its tasks; `None`: it counts nothing.
    """

    def __init__(self, hello: Hello, reported: Callable[[Report], None] | None = None) -> None:
        self._reported = reported
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
        self._number = 0  # of the latest request
        self.born = SYSTEM_CLOCK.elapsed()
        try:
            self._channel.send(hello)
            self._await_ready()
        except BaseException:
            self.leave()
            raise

    def _await_ready(self) -> None:
        if not self._channel.wait(START_SECONDS):
            raise StartFailed(f"it wasn't ready after {START_SECONDS:g} s")
        said = self._channel.from_child()
        if isinstance(said, CannotStart):
            raise StartFailed(said.reason)
        if not isinstance(said, Ready):
            raise StartFailed(self.how_it_ended())

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
            FrameTooLarge: It wasn't asked to: what would have to be said is too large.
        """
        self._number += 1
        until = None if hard_limit is None else SYSTEM_CLOCK.elapsed() + hard_limit
        try:
            self._channel.send(
                RunRequest.of(held.delivery, number=self._number, expires_at=held.expires_at, ends=held.ends)
            )
            said = self._answer(held, until)
        except OSError:
            said = None  # a broken connection is an end like any other
        if isinstance(said, Done):
            if said.report is not None:
                self._pass_on(said.report)
            return said.outcome()
        raise WorkerDied(f"the process that ran the task (pid {self.pid}) {self.how_it_ended()}")

    def _pass_on(self, report: Report) -> None:
        """What is wrong with what it has counted doesn't cost its task the end."""
        try:
            if self._reported is not None:
                self._reported(report)
        except Exception:
            logger.exception("what the process with pid %s has counted is left out", self.pid)

    def _answer(self, held: HeldLease, until: timedelta | None) -> FromChild | None:
        """What it says of this delivery. What it may have said of an earlier one once more would end this one unrun."""
        while True:
            self._await_answer(held, until)
            said = self._channel.from_child() if self._channel.wait(0) else None
            if not isinstance(said, Done) or said.number == self._number:
                return said
            logger.warning("the process with pid %s said twice how a task ended", self.pid)

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
