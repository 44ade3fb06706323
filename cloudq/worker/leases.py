"""`LeaseKeeper`: extends a delivery's lease while it is in hand, and never after.

The logic is pure: `tick(now)` decides and says when it wants to be called again. `lease_thread` calls it. What an event
means for a lease is said in one place, the table of `running.lease_life`; all events pass through the keeper, under its
lock. All moments are by `Clock.elapsed`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.core.observing import Observer
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import LeaseLost
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.running.lease_life import EXTENDABLE, RUNNING, SHORTEST_PAUSE, Event, State
from cloudq.running.log_fields import fields
from cloudq.worker.extensions import ExtensionCall, by_lease, due_calls

logger = SafeLogger("cloudq.worker")

FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(seconds=15)
# The states in which a lease's end needs no log line: the message was about to be released.
_RELEASED: Final = frozenset({State.RELEASE_WAITS, State.RELEASING})


class LeaseKeeper:
    """Extends what is held, several at a call, and tells the holder of a lease that is over.

    Args:
        extend: `PullDriver.extend`.
        lease: How long an extended lease of a queue is to last.
        settle_timeout: For how long it is extended after the handler ended.
        capabilities: `PullDriver.capabilities`.
        clock: Where the time comes from.
        run: Makes a call of `extend` on another thread, so that one that hangs delays no other. Returns whether it
            will; if not, the call is made in the keeper's own thread.
        watch: `LeaseWatcher.watch`, where the driver has it.
        observer: Told of what is extended, and lost; `None`: nobody is.
    """

    def __init__(
        self,
        extend: Callable[[Sequence[Lease], timedelta], Sequence[ExtendResult]],
        *,
        lease: Callable[[str], timedelta],
        settle_timeout: timedelta,
        capabilities: Callable[[str], Capabilities],
        clock: Clock,
        run: Callable[[Callable[[], None]], bool] = lambda _: False,
        watch: Callable[[Lease, Callable[[str], None]], None] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._extend = extend
        self._lease = lease
        self._settle_timeout = settle_timeout
        self._capabilities = capabilities
        self._clock = clock
        self._run = run
        self._watch = watch
        self._observer = observer
        # Taken by itself: a Condition's `__enter__` is code in Python, for each task's settlement.
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        # All below is guarded by that lock.
        self._held: set[HeldLease] = set()  # those whose end is still ahead
        self.failing = False  # whether the latest extension failed, of what is held
        self._later: deque[Callable[[], None]] = deque()  # what is done once the lock is released
        self.wake_at: timedelta | None = None
        self.lost_count = 0

    # ── what happens to deliveries ───────────────────────────────────────────────────────────────────────

    def attach(self, deliveries: Sequence[Delivery]) -> list[HeldLease]:
        """Keeps the leases of these from now on; of none, if it raises."""
        extendable = {queue: self._capabilities(queue).extendable for queue in {one.queue for one in deliveries}}
        now = self._clock.elapsed()
        held = [HeldLease(one, now, extendable=extendable[one.queue]) for one in deliveries]
        with self._lock:
            self._held.update(held)
            self._wake_earlier(held)
        if self._watch is not None:
            try:
                for one in by_lease(held).values():
                    self._watch(one[0].delivery.lease, partial(self._cut_off, one))
            except BaseException:
                for each in held:
                    self.give_up(each)
                raise
        return held

    def note_handler_ended(self, held: HeldLease) -> None:
        """Or it won't run here: from now on its lease is extended for `settle_timeout` at most (semantics 11)."""
        held.life.settle_by = self._clock.elapsed() + self._settle_timeout

    def settle_together(self, held: Iterable[HeldLease]) -> list[HeldLease]:
        """As `note_handler_ended` and `settle`, for Acks that one call is to carry out. Returns those that it may.

        What can't be settled is a mistake: it is logged, and costs only itself.
        """
        begun = []
        with self._lock:
            now = self._clock.elapsed()
            settle_by = now + self._settle_timeout
            for one in held:
                try:
                    one.life.settle_by = settle_by
                    self._look_at(one, now)
                    self._apply_to(one, Event.SETTLE)
                    begun.append(one)
                except RuntimeError as error:
                    self._log(
                        logging.ERROR, "%s can't be settled: %s", one.delivery.id, error, extra=fields(one.delivery)
                    )
        if self._later:
            self._do_later()
        return begun

    def over(self, held: HeldLease) -> bool:
        """Whether its lease is over. If that is found now, the holder's `lost` is set."""
        with self._lock:
            self._look_at(held, self._clock.elapsed())
            over = not held.life.running
        self._do_later()
        return over

    def settle(self, held: HeldLease) -> None:
        """An Ack or a dead-letter begins; it is tried even if the lease is over."""
        with self._lock:
            self._apply(held, Event.SETTLE)
        if self._later:
            self._do_later()

    def release(self, held: HeldLease, then: Callable[[State], None]) -> None:
        """Extends it no more, and calls `then` once no extension of it can land any more, at the lease's end at latest.

        Args:
            held: What is about to be released.
            then: Told the state: `RELEASING` if the release may be sent; else the lease is over, so that it may not.
                Called in this thread or another, with no lock held.
        """
        # An extension that lands after a release would hide the message again:
        #
        #   keeper    extend(lease) sent ─────────────────────▶ lands: hidden for a whole lease
        #   settler                  release sent ─▶ lands: visible
        #
        # so the release isn't sent before the extension is back, and none is sent from now on.
        with self._lock:
            state = self._apply(held, Event.RELEASE)
            if state is State.RELEASE_WAITS:
                held._released = then
        self._do_later()
        if state is not State.RELEASE_WAITS:
            then(state)

    def note_confirmed(self, held: Sequence[HeldLease]) -> list[bool]:
        """Notes that these are settled. Returns, for each in order, whether that was before the end of its lease."""
        with self._lock:
            now = self._clock.elapsed()
            in_time = [one.life.state is not State.LATE and not one.life.over(now) for one in held]
            for one in held:
                self._apply_to(one, Event.CONFIRMED)
        self._do_later()
        return in_time

    def note_failure(self, held: HeldLease) -> bool:
        """Notes that a try of its settlement failed. Returns whether to try again: not if the lease is over."""
        with self._lock:
            again = self._apply(held, Event.SETTLEMENT_FAILED) is not State.ENDED
        self._do_later()
        return again

    def note_loss(self, held: HeldLease) -> None:
        """Notes that its settlement was answered by `LeaseLost`."""
        with self._lock:
            self._apply_to(held, Event.SETTLEMENT_LOST)
        self._do_later()

    def give_up(self, held: HeldLease) -> None:
        """Notes that it won't be settled here: its lease is left to end."""
        with self._lock:
            if held.life.state is not State.ENDED:
                self._apply(held, Event.GIVEN_UP)
        self._do_later()

    def _cut_off(self, held: Sequence[HeldLease], why: str) -> None:
        with self._lock:
            for one in held:
                self._apply(one, Event.CUT_OFF, why)
        self._do_later()

    # ── the keeper's thread ──────────────────────────────────────────────────────────────────────────────

    def tick(self, now: timedelta) -> timedelta | None:
        """Extends what is due, tells who lost a lease, and returns when it is to be called next."""
        with self._lock:
            self._alarm_if_late(now)
            for held in list(self._held):
                self._look_at(held, now)
            calls = due_calls(self._held, now, lease=self._lease, capabilities=self._capabilities)
            for held in (held for call in calls for group in call.groups for held in group):
                held.life.apply(Event.EXTENSION_SENT)
        self._do_later()
        for call in calls:
            self._start(call)
        with self._lock:
            self.wake_at = min((held.life.next_look for held in self._held), default=None)
            return self.wake_at

    def _start(self, call: ExtensionCall) -> None:
        begun = threading.Lock()  # taken by the thread that makes the call: another one, or else this one

        def make() -> None:
            if begun.acquire(blocking=False):
                self._make(call)

        if not self._run(make):
            make()

    def _make(self, call: ExtensionCall) -> None:
        """Makes the call. Whatever it raises, it lands: else these would never be extended again."""
        results = call.make(self._extend)
        now = self._clock.elapsed()
        with self._lock:
            for group, result in zip(call.groups, results, strict=True):
                for held in group:
                    self._land(held, result, now)
            self._wake_earlier(self._held)
        self._do_later()
        extended = sum(result.error is None for result in results)
        if extended and self._observer is not None:
            self._observer.lease_renewed(call.groups[0][0].delivery.queue, extended)

    def _land(self, held: HeldLease, result: ExtendResult, now: timedelta) -> None:
        life = held.life
        if isinstance(result.error, LeaseLost):
            state = self._apply(held, Event.EXTENSION_LOST, "the backend says that it is over")
        elif result.error is not None or result.ends is None:
            state = self._apply(held, Event.EXTENSION_FAILED)
        else:
            self._grant(held, result)
            state = self._apply(held, Event.EXTENDED)
            if state in EXTENDABLE:
                held._backoff = None
                life.plan_extension(now)
                if self.failing:
                    self.failing = False
                    self._log(logging.INFO, "leases are extended again")
                return
        if state in EXTENDABLE:
            self._extend_again(held, result.error, now)

    def _grant(self, held: HeldLease, result: ExtendResult) -> None:
        """Notes what was granted, if the lease's end is still ahead."""
        if held.life.running and result.ends is not None:
            held.life.ends = result.ends
            held.expires_at = result.expires_at or held.expires_at

    def _extend_again(self, held: HeldLease, error: Exception | None, now: timedelta) -> None:
        held._backoff = held._backoff or Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        # Always tried once more before the end, however little time is left.
        pause = min(held._backoff.next(), (held.life.ends - now) / 3)
        held.life.extend_at = now + max(SHORTEST_PAUSE, pause)
        if not self.failing and not isinstance(error, LeaseLost):  # that was beside a settlement, and no outage
            self.failing = True
            self._log(logging.WARNING, "leases can't be extended, trying again until they are over: %s", error)

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _look_at(self, held: HeldLease, now: timedelta) -> None:
        """Ends the lease if its end has passed."""
        if held.life.over(now) and held.life.running:
            self._apply_to(held, Event.RAN_OUT, held.life.why_over(now))

    def _apply(self, held: HeldLease, event: Event, why: str = "") -> State:
        """Tells the lease what happened, after the time that has passed until then. Returns its state."""
        self._look_at(held, self._clock.elapsed())
        return self._apply_to(held, event, why)

    def _apply_to(self, held: HeldLease, event: Event, why: str = "") -> State:
        was = held.life.state
        state = held.life.apply(event)
        if was in RUNNING and state not in RUNNING:
            self._held.discard(held)
            self.failing = self.failing and bool(self._held)  # nothing is left that could be extended again
            if state is not State.ENDED:
                held.life.ends = min(held.life.ends, self._clock.elapsed())
                held.lost.set()
                if was not in _RELEASED:
                    self._tell_lost(held, why)
        if held._released is not None and state is not State.RELEASE_WAITS:
            self._later.append(partial(held._released, state))
            held._released = None
        return state

    def _tell_lost(self, held: HeldLease, why: str) -> None:
        self.lost_count += 1
        if self._observer is not None:
            self._later.append(partial(self._observer.lease_lost, held.delivery))
        self._log(
            logging.WARNING,
            "lost the lease on %s: %s; it may run a second time",
            held.delivery.id,
            why,
            extra=fields(held.delivery),
        )

    def _wake_earlier(self, held: Iterable[HeldLease]) -> None:
        wake_at = min((one.life.next_look for one in held), default=None)
        if wake_at is not None and (self.wake_at is None or wake_at < self.wake_at):
            self.wake_at = wake_at
            self.changed.notify_all()

    def _alarm_if_late(self, now: timedelta) -> None:
        if self.wake_at is None or not self._held:
            return
        shortest = min(self._lease(queue) for queue in {held.delivery.queue for held in self._held})
        if now - self.wake_at <= shortest / 3:
            return
        self._log(
            logging.WARNING,
            "leases were renewed %.1f s late: a task holds the interpreter's lock, or the machine was suspended; "
            "run CPU-bound tasks with --processes",
            (now - self.wake_at).total_seconds(),
        )

    def _log(self, level: int, text: str, *args: object, extra: dict[str, object] | None = None) -> None:
        # Not under the lock: this runs code of the app, which may be slow, or call the keeper.
        self._later.append(partial(logger.log, level, text, *args, extra=extra))

    # ── with no lock held ────────────────────────────────────────────────────────────────────────────────

    def _do_later(self) -> None:
        while self._later:
            try:
                job = self._later.popleft()
            except IndexError:
                return  # another thread took it
            job()
