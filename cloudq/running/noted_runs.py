"""`NotedRuns`: claims, and beside them notes of the runs that are to be noted: their results, progress, cancellation.

```
 begin     claimed? ─▶ noted as running ─┬─▶ the handler runs
                                         └─▶ not wanted any more: acknowledged unrun, the claim is released
 end       the claim is completed ─▶ what became of the run is noted, its result with it ─▶ settled
```

A crash between the completion and the note leaves a message that comes again, finds its key completed, and notes the
result that the claim kept.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from cloudq.core.claiming import AlreadyDone, Begun, Claimer, Claims, KeptResult, KeyClaim
from cloudq.core.delivery import Delivery
from cloudq.core.failure import words_of
from cloudq.core.message import Message
from cloudq.core.outcome import (
    CANCELLED,
    DUPLICATE,
    OUTCOMES,
    Acked,
    DeadLettered,
    Expired,
    Outcome,
    Retried,
    Snoozed,
    Why,
)
from cloudq.core.redaction import redacted
from cloudq.core.run_life import RunState
from cloudq.core.run_notes import Run, RunNotes
from cloudq.core.safe_log import SafeLogger
from cloudq.core.tracking import is_tracked, waiting_of
from cloudq.errors import CloudqError, TimeLimitExceeded
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.held_claim import again
from cloudq.running.noted_run import NotedRun
from cloudq.tasks.definition import Definition
from cloudq.tasks.result_type import NotKept
from cloudq.tasks.run_options import NOT_NOTED

if TYPE_CHECKING:
    from cloudq.app import App

logger = SafeLogger("cloudq")

_DOWN_DELAY: Final = timedelta(minutes=5)
_RELEASED: Final = Snoozed(delay=timedelta(0), reason="cancelled")
"""What a claim is ended with that is neither done nor failed."""


class NotedRuns:
    """What the `Processor` asks, of the claims of one app and the notes of its runs, in one process.

    Args:
        app: Whose tasks and store.
        claims: Claims idempotency keys.
        heartbeat: Writes the notes again while handlers run; `None` for tools on a clock of their own.
    """

    def __init__(self, app: App, claims: Claims, *, heartbeat: Heartbeat | None) -> None:
        self._app = app
        self._handlers = app.runtime.handlers  # follows later declarations; looked at for each delivery
        self._claims = claims
        self._heartbeat = heartbeat
        self._warned = False

    def concerns(self, handler: Claimer, message: Message) -> bool:
        """Whether the message is to be claimed, or its run noted. Asks nobody."""
        definition = self._handlers.get(message.task)
        is_plain = message.idempotency_key is None and not message.extensions
        if is_plain and definition is not None and definition.run_options is NOT_NOTED and not definition.declares_key:
            return False  # as of most: one look at each
        return self._is_noted(message) or self._claims.concerns(handler, message)

    def reachable(self) -> bool:
        """Whether the store answers, and can be written to."""
        return self._claims.reachable()

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        """Whether the message runs without a claim or a note while the store is down: it is so declared.

        Never one that others leave their work to while it waits: they went on doing so, as nobody noted that it ran.
        """
        waiting = waiting_of(message)
        return (waiting is None or waiting.replaces) and self._claims.unclaimed(handler, message)

    def begin(
        self,
        handler: Claimer,
        message: Message,
        delivery: Delivery,
        lease_lost: Event,
        until: timedelta | None = None,
    ) -> Begun | Outcome:
        """Claims the message's key, if it has one, and notes its run, if that is to be noted."""
        claimed: Begun | None = None
        if self._claims.concerns(handler, message):
            begun = self._claims.begin(handler, message, delivery, lease_lost, until)
            if isinstance(begun, AlreadyDone):
                self._know(message, begun.result)
                return DUPLICATE
            if isinstance(begun, OUTCOMES) or not self._is_noted(message):
                return begun
            claimed = begun
        try:
            run = self._start(message, delivery)
        except CloudqError as error:
            # Nothing is run that may have been cancelled, unless it is declared to run while the store is down.
            if claimed is not None:
                claimed.end(_RELEASED, None)
            if isinstance(error, TimeLimitExceeded):
                raise  # who set it knows whose time is over: the store's, or the edge's
            return Snoozed(delay=_DOWN_DELAY, why=Why.STORE_DOWN, reason=f"the store of runs: {words_of(error)}")
        if run is RunState.CANCELLED:
            if claimed is not None:
                claimed.end(_RELEASED, None)
            logger.info("%s %s was cancelled before it ran", message.task, message.id)
            return CANCELLED
        noted = None
        if isinstance(run, Run):
            said = f"{message.task} {message.id}"
            noted = NotedRun(run, self._heartbeat, self._app.clock, lease_lost=lease_lost, said=said)
            noted.begin()
        return NotedBegun(claimed, noted, self._writer(message))

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        """Notes that a message is dead-lettered, or expired, without a run. Never blocks or raises."""
        if not self._is_noted(message):
            return
        keep = self._keep(message)
        state, reason = _state_of(outcome), redacted(outcome.reason)
        self._aside(message, lambda notes: notes.bury(message.id, message.task, state, reason, keep=keep))

    def _know(self, message: Message, result: bytes | None) -> None:
        """Notes that the work is done, by another message of its key or by a run that couldn't note it."""
        if not self._is_noted(message):
            return
        keep = self._keep(message)
        reason = "" if result is not None or keep is None else "result not kept: by the run that did the work"
        try:
            self._notes().know(message.id, message.task, None if keep is None else result, reason, keep=keep)
        except CloudqError as error:
            logger.warning("%s %s is done, and couldn't be noted so: %s", message.task, message.id, words_of(error))

    def _start(self, message: Message, delivery: Delivery) -> Run | RunState:
        owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(12).hex()}"
        return again(
            partial(
                self._notes().start,
                message.id,
                message.task,
                owner=owner,
                attempt=delivery.attempt,
                keep=self._keep(message),
                look=is_tracked(message) or delivery.attempt > 1,
            )
        )

    def _writer(self, message: Message) -> Callable[[object], KeptResult] | None:
        """What makes JSON of a result, where results of the task are kept."""
        definition = self._definition(message)
        if definition is None or definition.run_options.keep_result is None:
            return None
        kind, convert = definition.result_type, self._app.convert_untyped

        def write(result: object) -> KeptResult:
            try:
                return KeptResult(kind.write(result, convert_untyped=convert))
            except NotKept as error:
                return KeptResult(None, redacted(str(error)))

        return write

    def _is_noted(self, message: Message) -> bool:
        definition = self._handlers.get(message.task)
        if (definition is None or definition.run_options is NOT_NOTED) and not is_tracked(message):
            return False
        if self._app.runtime.stores.in_use:
            return True
        if not self._warned:
            self._warned = True
            logger.warning("%s is to be noted in a store, and there is none: set CLOUDQ_STORE_URL", message.task)
        return False

    def _keep(self, message: Message) -> timedelta | None:
        definition = self._definition(message)
        return None if definition is None else definition.run_options.keep_result

    def _definition(self, message: Message) -> Definition | None:
        return self._handlers.get(message.task)

    def _notes(self) -> RunNotes:
        return self._app.runtime.results.notes()

    def _aside(self, message: Message, note: Callable[[RunNotes], None]) -> None:
        def write() -> None:
            try:
                note(self._notes())
            except CloudqError as error:
                logger.warning("%s %s couldn't be noted: %s", message.task, message.id, words_of(error))

        if self._heartbeat is None:
            write()
        else:
            self._heartbeat.aside(write)


class NotedBegun:
    """A run that is noted, or was done before, with the claim that it has, if its message has a key.

    Args:
        claimed: The claim.
        run: Its note; `None` if it was noted as done before.
        write: Makes JSON of its result; `None` if no results of its task are kept.
    """

    __slots__ = ("__weakref__", "_claimed", "_ends", "_write", "run")

    def __init__(
        self,
        claimed: Begun | None,
        run: NotedRun | None,
        write: Callable[[object], KeptResult] | None,
    ) -> None:
        self._claimed = claimed
        self.run = run
        self._write = write
        self._ends = False  # whether its end has begun, which may be under way in another thread

    @property
    def claim(self) -> KeyClaim | None:
        """The claim of its key."""
        return None if self._claimed is None else self._claimed.claim

    def end(self, outcome: Outcome, result: object) -> Outcome:
        """Ends the claim, then notes what became of the run."""
        self._ends = True
        run = self.run
        if run is not None and run.cancelled.is_set() and (run.stopped or not isinstance(outcome, Acked)):
            try:
                if self._claimed is not None:
                    self._claimed.end(_RELEASED, None)
            finally:  # also where the store doesn't answer in time: nobody else says what became of it
                run.end(RunState.CANCELLED, "" if run.stopped else _reason(outcome), None)
            return CANCELLED
        kept = result if isinstance(result, KeptResult) else KeptResult(None)
        if isinstance(outcome, Acked) and self._write is not None and kept is not result:
            kept = self._write(result)
        if self._claimed is not None:
            outcome = self._end_claim(self._claimed, outcome, kept)
            if self._claimed.claim is not None and self._claimed.claim.taken_over:
                if run is not None:
                    run.end_beside()
                return outcome
        self._note_end(outcome, kept)
        return outcome

    def give_up(self) -> None:
        """The run was interrupted; or its end was, which is what is noted nonetheless."""
        if self._claimed is not None:
            self._claimed.give_up()
        if self.run is not None and not self._ends:
            self.run.give_up()

    def _end_claim(self, claimed: Begun, outcome: Outcome, kept: KeptResult) -> Outcome:
        try:
            return claimed.end(outcome, kept)
        except BaseException:
            # It is done all the same, and its completion is tried on aside; so is this.
            self._note_end(outcome, kept)
            raise

    def _note_end(self, outcome: Outcome, kept: KeptResult) -> None:
        if self.run is not None:
            delay = outcome.delay if isinstance(outcome, (Retried, Snoozed)) else timedelta(0)
            self.run.end(_state_of(outcome), kept.why_not or _reason(outcome), kept.text, delay=delay)


def _state_of(outcome: Outcome) -> RunState:
    if isinstance(outcome, Expired):
        return RunState.EXPIRED
    if isinstance(outcome, Acked):
        return RunState.SUCCEEDED
    if isinstance(outcome, DeadLettered):
        return RunState.DEAD_LETTERED
    return RunState.RETRIED if isinstance(outcome, Retried) and outcome.counted else RunState.WAITING


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome, Expired) or not isinstance(outcome, Acked):
        return redacted(outcome.reason)
    return ""
