"""`ClaimSteps`: the claim as steps of the Processor: before a run, and after it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, Final

from cloudq.core.blocking import Step
from cloudq.core.claiming import CLAIM_LIMIT, Begun, Claimer, Claims
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import words_of
from cloudq.core.loading import off_the_loop
from cloudq.core.message import Message
from cloudq.core.outcome import OUTCOMES, Acked, DeadLettered, Expired, Outcome, Snoozed, Why
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store_watch import StoreWatch
from cloudq.errors import BackendError, TimeLimitExceeded

logger = SafeLogger("cloudq")

ZERO: Final = timedelta(0)


class ClaimSteps:
    """Claims before a run, and ends the claim after it.

    ```
     begin ─┬─ the store is down ─────────▶ Snoozed, without asking it each time; or it runs, where that is declared
            ├─ somebody is at work ───────▶ Snoozed
            ├─ done before ───────────────▶ Acked
            └─ Begun ─▶ handler ─▶ end ─┬─▶ completed, or released
                          │             └─ the store is down: work that is done is acknowledged all the same
                          └─ interrupted ─▶ give_up: nobody knows how far it came, so the claim lapses
    ```

    Args:
        claims: Where keys are claimed.
        clock: Where the time comes from.

    Attributes:
        watch: Whether the store is down.
    """

    def __init__(self, claims: Claims, clock: Clock) -> None:
        self._claims = claims
        self._clock = clock
        self.watch = StoreWatch(claims.reachable, clock)

    def concern(self, handler: Claimer, message: Message) -> bool:
        """Whether the message is to be claimed, or its run noted. Asks nobody."""
        return self._claims.concerns(handler, message)

    def begin(
        self, handler: Claimer, message: Message, delivery: Delivery, lease_lost: Event, until: timedelta | None
    ) -> Generator[Step, Any, Begun | Outcome | None]:
        """The claim of a message that they `concern`, or what becomes of the delivery without a run.

        `None`: it runs without a claim. Whatever isn't the store's fault is raised.
        """
        if not self.watch.may_ask():
            return self._without(handler, message, _down(self.watch.why or "it doesn't answer"))
        begin = partial(self._claims.begin, handler, message, delivery, lease_lost, until)
        limit = self._limit(until)
        try:
            begun: Begun | Outcome = yield Step(limit, begin, partial(off_the_loop, begin))
        except (BackendError, TimeLimitExceeded) as error:
            begun = _down("not answered in time" if isinstance(error, TimeLimitExceeded) else words_of(error))
            if isinstance(error, TimeLimitExceeded) and limit < CLAIM_LIMIT:
                return begun  # its edge's time was over, which says nothing of the store
        if isinstance(begun, Snoozed) and begun.why is Why.STORE_DOWN:
            self.watch.note_down(begun.reason)
            return self._without(handler, message, begun)
        self.watch.note_up()
        if lease_lost.is_set() and not isinstance(begun, OUTCOMES):
            # The store took its time: a shutdown has released the delivery, or its lease is over. Another may run it,
            # so the claim is ended, as one of which it is known how far it came: to no run.
            unstarted = Snoozed(delay=ZERO, why=Why.UNSTARTED, reason="its lease was lost while its key was claimed")
            return (yield from self.end(begun, unstarted, None, delivery))
        return begun

    def end(self, claim: Begun, outcome: Outcome, result: object, delivery: Delivery) -> Generator[Step, Any, Outcome]:
        """What becomes of the delivery now that its run has ended, and the store was told.

        A store that can't be told changes nothing: what is done is done, and what failed comes again, and finds the
        claim lapsed.
        """
        end = partial(claim.end, outcome, result)
        try:
            ended: Outcome = yield Step(CLAIM_LIMIT, end, partial(off_the_loop, end))
        except Exception as error:
            claim.give_up()
            is_the_stores = isinstance(error, (BackendError, TimeLimitExceeded))
            if is_the_stores:  # a slip of ours, or of a store's package, is no outage: nothing else waits for it
                self.watch.note_down(words_of(error))
            if isinstance(outcome, Acked):
                # The store's trouble is said in its words: in an outage each task ends so, and tracebacks say nothing.
                logger.error(  # noqa: TRY400 - as above
                    "%s is done, and its idempotency key couldn't be marked so: another with it would run again: %s",
                    delivery.id,
                    words_of(error),
                    exc_info=not is_the_stores,
                )
            return outcome
        return ended

    def unrun(self, delivery: Delivery, outcome: DeadLettered | Expired) -> None:
        """A delivery is dead-lettered, or expired, without a run that could say so."""
        if delivery.message is not None:
            self._claims.unrun(delivery.message, outcome)

    def _without(self, handler: Claimer, message: Message, down: Snoozed) -> Snoozed | None:
        """What becomes of a message that can't be claimed now: it waits, or, if it is so declared, runs."""
        if not self._claims.unclaimed(handler, message):
            return down
        logger.warning("%s %s runs without a claim: %s", message.task, message.id, down.reason)
        return None

    def _limit(self, until: timedelta | None) -> timedelta:
        return CLAIM_LIMIT if until is None else min(CLAIM_LIMIT, max(ZERO, until - self._clock.elapsed()))


def _down(why: str) -> Snoozed:
    return Snoozed(delay=ZERO, why=Why.STORE_DOWN, reason=f"the store of idempotency keys is down: {why}")
