"""`LeaseKeeper`: a delivery's lease is renewed while it is in hand, and never after.

The logic is pure: `tick(now)` decides and says when it wants to be called again. `lease_thread` calls it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.errors import LeaseLost
from cloudq.running.backoff import Backoff
from cloudq.running.held import SHORTEST_PAUSE, HeldLease
from cloudq.running.log_fields import fields

logger = logging.getLogger("cloudq.worker")

# What is due within this part of the lease is renewed together with what is due now.
SHARED: Final = 8
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(seconds=15)


class LeaseKeeper:
    """Renews what is held, several at a call, and tells the holder of a lease that is over.

    Args:
        extend: `PullDriver.extend`.
        lease: How long a renewed lease of a queue is to last.
        settle_timeout: For how long it is renewed after the handler ended.
        capabilities: `PullDriver.capabilities`.
        clock: Where the time comes from.
        run: Makes a call of `extend`, e.g. on another thread, so that one that hangs delays no other.
    """

    def __init__(
        self,
        extend: Callable[[Sequence[Lease], timedelta], Sequence[ExtendResult]],
        *,
        lease: Callable[[str], timedelta],
        settle_timeout: timedelta,
        capabilities: Callable[[str], Capabilities],
        clock: Clock,
        run: Callable[[Callable[[], None]], object] = lambda call: call(),
    ) -> None:
        self._extend = extend
        self._lease = lease
        self._settle_timeout = settle_timeout
        self._capabilities = capabilities
        self._clock = clock
        self._run = run
        self.changed = threading.Condition()
        # All below is guarded by the condition's lock.
        self._held: set[HeldLease] = set()
        self._failing = False
        self.wake_at: datetime | None = None
        self.lost_count = 0

    def attach(self, deliveries: Iterable[Delivery]) -> list[HeldLease]:
        """Keeps the leases of these from now on."""
        now = self._clock.now()
        held = [HeldLease(one, now, extendable=self._capabilities(one.queue).extendable) for one in deliveries]
        with self.changed:
            self._held.update(held)
            wake_at = min((_next_event(one) for one in held), default=None)
            if wake_at is not None and (self.wake_at is None or wake_at < self.wake_at):
                self.wake_at = wake_at
                self.changed.notify_all()
        return held

    def handler_ended(self, held: HeldLease) -> None:
        """From now on its lease is renewed for `settle_timeout` at most (semantics 11)."""
        held.settle_by = self._clock.now() + self._settle_timeout

    def forget(self, *held: HeldLease) -> None:
        """Keeps these no longer. For what was deleted: a renewal that is still on its way changes nothing."""
        with self.changed:
            for one in held:
                one._detached = True
            self._held.difference_update(held)

    def detach(self, held: Iterable[HeldLease], *, wait: bool = True) -> bool:
        """Keeps these no longer, and waits for renewals in flight, at most until the leases are over.

        Args:
            held: What is about to be released.
            wait: `False` to come back at once.

        Returns:
            Whether no renewal of these can land any more.
        """
        held = list(held)
        with self.changed:
            for one in held:
                one._detached = True
                self._held.discard(one)
            # A renewal that lands after a release would hide the message again:
            #
            #   keeper thread    extend(lease) sent ─────────────────────▶ lands: hidden for a whole lease
            #   settler                        release sent ─▶ lands: visible
            #
            # so the release isn't sent before the renewal is back. It was marked while this lock was held, and none
            # is started for what is detached.
            for one in held:
                while one._renewing and (left := one.expires_at - self._clock.now()) > timedelta(0):
                    if not wait:
                        return False
                    self._clock.wait(self.changed, left)
        return True

    def tick(self, now: datetime) -> datetime | None:
        """Renews what is due, tells who lost a lease, and returns when it is to be called next."""
        with self.changed:
            self._alarm_if_late(now)
            for held in [one for one in self._held if one.expires_at <= now]:
                self._lose(held, _why_over(held, now), now)
            calls = list(self._calls(now))
        for leases, by in calls:
            self._run(lambda leases=leases, by=by: self._renew(leases, by))  # type: ignore[misc]  # defaults bind early
        with self.changed:
            self.wake_at = min(map(_next_event, self._held), default=None)
            return self.wake_at

    def _calls(self, now: datetime) -> Iterator[tuple[list[list[HeldLease]], timedelta]]:
        """The calls to make now: the leases of each, with those who share it, and for how long."""
        due: dict[tuple[str, timedelta], dict[int, list[HeldLease]]] = {}
        any_due = False
        for held in self._held:
            queue = held.delivery.queue
            whole = self._lease(queue)
            if held._renewing or held._renew_at is None or held._renew_at > now + whole / SHARED:
                continue
            if held.settle_by is not None and now >= held.settle_by:
                held._renew_at = None
                continue
            any_due = any_due or held._renew_at <= now
            lease = held.delivery.lease
            by = whole if lease.hard_limit is None else min(whole, lease.hard_limit - now)
            due.setdefault((queue, by), {}).setdefault(id(lease), []).append(held)
        if not any_due:
            return
        for (queue, by), leases in due.items():
            groups = list(leases.values())
            for group in groups:
                for held in group:
                    held._renewing = True
            size = self._capabilities(queue).max_batch
            for start in range(0, len(groups), size):
                yield groups[start : start + size], by

    def _renew(self, groups: list[list[HeldLease]], by: timedelta) -> None:
        try:
            results = self._extend([group[0].delivery.lease for group in groups], by)
        except Exception as error:  # noqa: BLE001 - an SDK may raise anything; each lease is tried again before its end
            results = [ExtendResult(error=error)] * len(groups)
        now = self._clock.now()
        with self.changed:
            for group, result in zip(groups, results, strict=True):
                for held in group:
                    held._renewing = False
                    if not held._detached:
                        self._renewed(held, result, now)
            wake_at = min(map(_next_event, self._held), default=None)
            if wake_at is not None and (self.wake_at is None or wake_at < self.wake_at):
                self.wake_at = wake_at
            self.changed.notify_all()

    def _renewed(self, held: HeldLease, result: ExtendResult, now: datetime) -> None:
        if isinstance(result.error, LeaseLost):
            self._lose(held, "the backend says that it is over", now)
        elif result.error is not None or result.expires_at is None:
            self._failed(held, result.error, now)
        else:
            held.expires_at = result.expires_at
            held._backoff = None
            held._renew_at = held._half_way(now)
            if self._failing:
                self._failing = False
                logger.info("leases are renewed again")

    def _failed(self, held: HeldLease, error: Exception | None, now: datetime) -> None:
        held._backoff = held._backoff or Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        # Always once more before the end, however little is left of it.
        pause = min(held._backoff.next(), (held.expires_at - now) / 3)
        held._renew_at = now + max(SHORTEST_PAUSE, pause)
        if not self._failing:
            self._failing = True
            logger.warning("leases can't be renewed, trying again until they are over: %s", error)

    def _lose(self, held: HeldLease, why: str, now: datetime) -> None:
        self._held.discard(held)
        held.expires_at = min(held.expires_at, now)
        if held.lost.is_set():
            return
        held.lost.set()
        self.lost_count += 1
        logger.warning(
            "lost the lease on %s: %s; it may run a second time", held.delivery.id, why, extra=fields(held.delivery)
        )

    def _alarm_if_late(self, now: datetime) -> None:
        if self.wake_at is None or not self._held:
            return
        shortest = min(self._lease(queue) for queue in {held.delivery.queue for held in self._held})
        if now - self.wake_at <= shortest / 3:
            return
        logger.warning(
            "leases were looked after %.1f s late: a task holds the interpreter's lock, or the machine was suspended; "
            "run CPU-bound tasks with --processes",
            (now - self.wake_at).total_seconds(),
        )


def _next_event(held: HeldLease) -> datetime:
    if held._renewing or held._renew_at is None:
        return held.expires_at
    return min(held._renew_at, held.expires_at)


def _why_over(held: HeldLease, now: datetime) -> str:
    limit = held.delivery.lease.hard_limit
    if limit is not None and held.expires_at >= limit:
        return "it reached the longest time that the backend allows"
    if held.settle_by is not None and now >= held.settle_by:
        return "its settlement was not confirmed in time"
    return "it could not be renewed in time"
