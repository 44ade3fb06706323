"""`HeldClaim`: a claim that a run has, from the store's answer to the run's end.

Its records are one for each name that its task has or had: workers of before a rename claim under the old one. The
first is that of the task's present name, whose token is the fence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Final, TypeVar

import msgspec

from cloudq.core.claiming import KeptResult
from cloudq.core.clock import Clock
from cloudq.core.failure import words_of
from cloudq.core.outcome import Acked, Outcome
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store import ClaimKey, Store
from cloudq.errors import BackendError, StoreUnavailable, TimeLimitExceeded
from cloudq.running.heartbeat import Heartbeat

T = TypeVar("T")

logger = SafeLogger("cloudq")

# A renewal that failed is tried again after a ninth of the lease: twice more before the claim is over.
SHORTEST_PAUSE: Final = timedelta(seconds=1)
# How a completion goes on that its run couldn't wait for: it is the truth, however late (claim_life, rule 4).
COMPLETE_AGAIN: Final = timedelta(seconds=15)
COMPLETIONS: Final = 240  # an hour's


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a claim is held.

    Attributes:
        lease: For how long it holds, unless it is renewed.
        keep: For how long its record is kept after its end.
        heartbeat: What renews it, or `None`.
        clock: Where the time comes from.
        is_final: Whether only its own run ends it, by a completion or a failure that was seen: it never lapses.
    """

    lease: timedelta
    keep: timedelta
    heartbeat: Heartbeat | None
    clock: Clock
    is_final: bool = False


class HeldClaim:
    """A claim, and its end. See `cloudq.core.claiming.Begun`.

    Args:
        store: Where it is.
        namespace: The store's.
        records: What was claimed, each with its token; the first is the present name's.
        terms: How it is held.
        since: The time, by `Clock.elapsed`, before the store was asked.
        lease_lost: To be set once it is lost.
        said: How log lines name its message.
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_ends",
        "_lost",
        "_records",
        "_result",
        "_said",
        "_store",
        "_terms",
        "namespace",
        "renew_at",
        "taken_over",
    )

    def __init__(
        self,
        store: Store,
        namespace: str,
        records: Sequence[tuple[ClaimKey, int]],
        terms: Terms,
        *,
        since: timedelta,
        lease_lost: Event,
        said: str,
    ) -> None:
        self._store = store
        self.namespace = namespace
        self._records = records
        self._terms = terms
        self._lost = lease_lost
        self._said = said
        self._ended = False
        self.taken_over = False
        self._result: bytes | None = None
        self._ends = since + terms.lease
        self.renew_at = since + terms.lease / 3
        if terms.heartbeat is not None:
            terms.heartbeat.add(self)

    @property
    def claim(self) -> HeldClaim:
        """Itself."""
        return self

    @property
    def run(self) -> None:
        """Nothing notes it here."""

    @property
    def key(self) -> ClaimKey:
        """What is claimed."""
        return self._records[0][0]

    @property
    def token(self) -> int:
        """Greater than that of each earlier claim of the key."""
        return self._records[0][1]

    # ── its end ──────────────────────────────────────────────────────────────────────────────────────────

    def end(self, outcome: Outcome, result: object) -> Outcome:
        """Completes it after an `Acked`, else releases it.

        Raises:
            StoreUnavailable: It couldn't be completed; it is tried again in the background, if there is a heartbeat.
            TimeLimitExceeded: As above.
        """
        self._result = result.text if isinstance(result, KeptResult) else None
        self._stop()
        if isinstance(outcome, Acked):
            self._complete()
        else:
            self._release()
        return outcome

    def give_up(self) -> None:
        """The run was interrupted. It is released aside, so that the next one needn't wait for its lapse."""
        if self._ended:
            return
        self._stop()
        if self._terms.heartbeat is not None and not self._terms.is_final:
            self._terms.heartbeat.aside(self._release)

    def _stop(self) -> None:
        self._ended = True
        if self._terms.heartbeat is not None:
            self._terms.heartbeat.remove(self)

    def _complete(self) -> None:
        try:
            done = self._for_each(self._complete_one)
        except (BackendError, TimeLimitExceeded):  # down, or silent for longer than anybody waits
            if self._terms.heartbeat is not None:
                self._terms.heartbeat.aside(lambda: self._complete_aside(COMPLETIONS), COMPLETE_AGAIN)
            raise
        if not done:
            # What is done isn't repeated for that: the other run was to do the same.
            self._lost.set()
            self.taken_over = True
            logger.error("%s is done, but its claim was taken over meanwhile: it may have run twice", self._said)

    def _complete_aside(self, left: int) -> None:
        try:
            done = self._for_each(self._complete_one)
        except BackendError as error:
            heartbeat = self._terms.heartbeat
            if left and heartbeat is not None:
                heartbeat.aside(lambda: self._complete_aside(left - 1), COMPLETE_AGAIN)
            else:
                # The store's trouble, whose traceback says nothing.
                logger.error("%s is done, and couldn't be marked so: %s", self._said, words_of(error))  # noqa: TRY400 - as above
            return
        logger.info("%s is done, and is %s now", self._said, "marked so" if done else "somebody else's")

    def _complete_one(self, key: ClaimKey, token: int) -> bool:
        return self._store.complete(key, token, result=self._result, keep=self._terms.keep)

    def _release(self) -> None:
        """Never raises: what isn't released lapses."""
        try:
            self._for_each(self._store.release)
        except BackendError as error:
            logger.warning("the claim of %s couldn't be given back, and lapses: %s", self._said, words_of(error))

    def _for_each(self, call: Callable[[ClaimKey, int], bool]) -> bool:
        """Whether it was so for each record. All of them are tried.

        Raises:
            BackendError: The first of those that failed.
        """
        agreed, failed = True, None
        for key, token in self._records:
            try:
                agreed &= again(lambda key=key, token=token: call(key, token))  # type: ignore[misc]  # defaults bind
            except BackendError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return agreed

    # ── its renewal ──────────────────────────────────────────────────────────────────────────────────────

    def renew(self) -> None:
        """Has it last for another lease. See `Beating`."""
        now = self._terms.clock.elapsed()
        try:
            held = all(self._store.renew(key, token, self._terms.lease) for key, token in self._records)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again while the claim holds
            self._not_renewed(error)
            return
        if self._ended:
            return  # what was completed or released meanwhile can't be renewed
        if held:
            self._ends, self.renew_at = now + self._terms.lease, now + self._terms.lease / 3
        else:
            self._lose("it was taken over")

    def _not_renewed(self, error: Exception) -> None:
        now = self._terms.clock.elapsed()
        self.renew_at = now + max(SHORTEST_PAUSE, self._terms.lease / 9)
        if now >= self._ends and not self._lost.is_set():
            # Nobody may have it yet, so it is tried on: what isn't taken over can still be completed.
            self._lost.set()
            logger.error("the claim of %s is over, as the store failed: %s", self._said, words_of(error))

    def _lose(self, why: str) -> None:
        self._stop()
        self._lost.set()
        logger.error("the claim of %s is lost: %s", self._said, why)


def again(call: Callable[[], T]) -> T:
    """The call's result. If the store isn't available it is made twice: the first answer may have been lost."""
    try:
        return call()
    except StoreUnavailable:
        return call()
