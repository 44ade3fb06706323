"""`Runs`: what this process runs. A message never runs beside an unfinished run of itself or of its ordering key.

```
 first run      begin ── lease lost ─────────────── still running ───── end(succeeded)
 redelivery                  begin: `None` ── waits (half a lease at most) ──▶ told: acknowledged unrun, or begins
                                                   └─ it took too long: goes back for `turn_away()`, uncounted;
                                                      when it comes again: `has_done()`? acknowledged unrun
```

The same where a redelivery comes, or gets its turn, only after the end of a run that had lost its lease: `has_done()`.

A lease can be lost while its task runs: the machine slept, the network was cut, renewals failed. The backend then hands
the message over again, often to the very process that still runs it. That process knows it; others can't.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from cloudq.app import App
from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.outcome import DeadLettered
from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq")

# A run that goes on for this many leases after it lost its own is taken for hung, and no longer holds up others.
HUNG_AFTER_LEASES: Final = 10
# How long a delivery that waited in vain stays away: the first time, and at most. It doubles in between.
FIRST_AWAY: Final = timedelta(seconds=5)
LONGEST_AWAY: Final = timedelta(minutes=5)
ZERO: Final = timedelta(0)

Ended: TypeAlias = Callable[[bool], None]
"""Told that the run in the way has ended: `True` if it succeeded with the same work: nothing is left to do."""

_Identity: TypeAlias = tuple[str, ...]
_Key: TypeAlias = tuple[str, str]


class _HandedOver(NamedTuple):
    """Which handing-over of which copy of a message a delivery is, as well as it can be told."""

    work: int
    generation: int
    follows: bool
    copy: str | None
    deliveries: int

    @classmethod
    def of(cls, delivery: Delivery) -> _HandedOver:
        message = delivery.message
        return cls(
            work=_work_of(delivery),
            generation=message.generation if message else 0,
            follows=message is not None and (message.not_before is not None or message.attempt_base > 0),
            copy=delivery.copy,
            deliveries=delivery.deliveries,
        )

    def is_before(self, other: _HandedOver) -> bool:
        """Whether `other` is the same copy, handed over again, or one that was made of it: a retry, or put off.

        The same id alone doesn't say so: other programs give one id to several messages, and each of them is work. Nor
        does a later copy that is due at once and has all its attempts: by a redrive somebody asks for another run.
        """
        if self.work != other.work:
            return False
        if self.generation != other.generation:
            return self.generation < other.generation and other.follows
        if self.copy is not None or other.copy is not None:
            return self.copy == other.copy
        return self.deliveries < other.deliveries


class Run:
    """One run of a delivery's handler, from its start to its end. Made by `Runs.begin`."""

    __slots__ = ("_delivery", "_ended", "_identity", "_key", "_lease", "_lost", "_over_since", "_waiting")

    def __init__(self, delivery: Delivery, lost: threading.Event, lease: timedelta) -> None:
        # All is guarded by the registry's lock.
        self._identity = _identity(delivery)
        self._key: _Key | None = None if delivery.group is None else (delivery.queue, delivery.group)
        self._delivery = delivery
        self._lost = lost
        self._lease = lease
        self._ended = False
        self._over_since: timedelta | None = None
        self._waiting: list[tuple[Delivery, Ended]] | None = None


class Runs:
    """The runs of one process, by message and by ordering key. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        # All below is guarded by the lock.
        self._by_message: dict[_Identity, Run] = {}
        self._by_key: dict[_Key, Run] = {}
        self._turned_away: dict[_Identity, int] = {}
        # To be dead-lettered, and couldn't be: it comes again, and is not to run again.
        self._dead: dict[_Identity, tuple[_HandedOver, timedelta, DeadLettered]] = {}
        # Done, though it may come again, and until when that is remembered.
        self._done: dict[_Identity, tuple[_HandedOver, timedelta]] = {}

    def begin(self, delivery: Delivery, *, lost: threading.Event, lease: timedelta, ended: Ended) -> Run | None:
        """Begins a run of `delivery`, unless an unfinished one of its message or its ordering key is in the way.

        A run whose lease has been over for ten leases, and for the message's time limit, is taken for hung: it is in
        the way no longer. Its lease counts as over from the first `begin` that finds `lost` set.

        Args:
            delivery: What is about to run.
            lost: Set once its lease is over.
            lease: How long it is leased at a time.
            ended: Called once, in the thread that calls `end`, when the run in the way ends; not at all if nothing is
                in the way. Then call `begin` again: another may have been faster.

        Returns:
            What to pass to `end`; `None` if it may not run now.
        """
        run = Run(delivery, lost, lease)
        identity, key = run._identity, run._key
        with self._lock:
            ahead = self._by_message.setdefault(identity, run)
            if ahead is run or self._is_hung(ahead):
                ahead = run if key is None else self._by_key.setdefault(key, run)
                if ahead is run or self._is_hung(ahead):
                    return self._enter(run)
                if self._by_message[identity] is run:
                    del self._by_message[identity]
            ahead._waiting = [*(ahead._waiting or ()), (delivery, ended)]
            return None

    def end(self, run: Run, *, succeeded: bool, first: Callable[[], None] | None = None) -> None:
        """Ends a run: its handler has ended, or was given up. Tells those that wait for it; a second call does nothing.

        Args:
            run: What `begin` returned.
            succeeded: Whether its task is done, so that a redelivery of the same copy has nothing left to do.
            first: Called before a redelivery can learn so, with no lock held; only where one is here or expected. If
                it raises, that is logged, and redeliveries run again.
        """
        with self._lock:
            if run._ended:
                return
            # Looked at once, with the lock that ends it: a message that comes back a moment later runs again.
            told = succeeded and self._is_redelivered(run)
            before = first if told else None
            waiting = self._leave(run, remembered=told) if before is None else []
        if before is not None:
            try:
                before()
            except BaseException:  # a store's package may raise anything, and the thread has more to do
                logger.exception("what was to come before the end of %s raised", run._delivery.id)
                succeeded = False
            with self._lock:
                waiting = self._leave(run, remembered=succeeded)
        for other, ended in waiting:
            ended(succeeded and _identity(other) == run._identity and _comes_again(run._delivery, other))

    def turn_away(self, delivery: Delivery) -> timedelta:
        """How long a delivery that waited in vain is to stay away: longer each time, from 5 s to 5 minutes."""
        identity = _identity(delivery)
        with self._lock:
            times = self._turned_away.get(identity, 0)
            self._turned_away[identity] = times + 1
            _shorten(self._turned_away)
        return min(LONGEST_AWAY, FIRST_AWAY * (1 << min(times, _MOST_DOUBLINGS)))

    def has_done(self, delivery: Delivery) -> bool:
        """Whether an earlier handing-over of this very work has succeeded here without the backend being told.

        Either its lease was lost, or this delivery was turned away meanwhile, or `note_done` said so. Then nothing is
        left to do: it is to be acknowledged unrun. Ask before `begin`.
        """
        if not self._done:  # as nearly always
            return False
        with self._lock:
            done = self._done.get(_identity(delivery))
        return done is not None and self.clock.elapsed() < done[1] and done[0].is_before(_HandedOver.of(delivery))

    def note_done(self, delivery: Delivery, lease: timedelta) -> None:
        """Its run has succeeded, and the backend couldn't be told in time: it will hand it over again.

        Args:
            delivery: What was run.
            lease: How long it is leased at a time.
        """
        with self._lock:
            self._remember(delivery, lease)

    def note_dead(self, delivery: Delivery, outcome: DeadLettered, lease: timedelta) -> None:
        """It had its last run, and its dead letter couldn't be stored: the backend will hand it over again.

        Args:
            delivery: What was run.
            outcome: What was to become of it, and is to.
            lease: How long it is leased at a time.
        """
        with self._lock:
            self._dead[_with_work(delivery)] = _HandedOver.of(delivery), self._until(lease), outcome
            _shorten(self._dead, _MOST_DEAD)

    def verdict(self, delivery: Delivery) -> DeadLettered | None:
        """What is to become of a delivery that an earlier handing-over of it decided here, unrun; mostly `None`.

        Other processes don't know of it, and may run it once more.
        """
        if not self._dead:  # as nearly always
            return None
        with self._lock:
            dead = self._dead.get(_with_work(delivery))
        if dead is None or self.clock.elapsed() >= dead[1] or not dead[0].is_before(_HandedOver.of(delivery)):
            return None
        return dead[2]

    def _until(self, lease: timedelta) -> timedelta:
        return self.clock.elapsed() + HUNG_AFTER_LEASES * lease + LONGEST_AWAY

    def _remember(self, delivery: Delivery, lease: timedelta) -> None:
        self._done[_identity(delivery)] = (_HandedOver.of(delivery), self._until(lease))
        _shorten(self._done)

    def _is_redelivered(self, run: Run) -> bool:
        """Whether a redelivery of its message is here or to be expected, for which it counts how this run ends."""
        waiting = any(_identity(other) == run._identity for other, _ in run._waiting or ())
        return waiting or run._lost.is_set() or run._identity in self._turned_away

    def _leave(self, run: Run, *, remembered: bool) -> list[tuple[Delivery, Ended]]:
        """Takes the run out, and remembers that its work is done if it may. Returns those that wait for it."""
        identity, key = run._identity, run._key
        run._ended = True
        # A run that was taken for hung may have been followed by another one.
        if self._by_message.get(identity) is run:
            del self._by_message[identity]
        if key is not None and self._by_key.get(key) is run:
            del self._by_key[key]
        waiting, run._waiting = run._waiting or [], None
        if remembered and (self._turned_away.pop(identity, None) is not None or run._lost.is_set()):
            self._remember(run._delivery, run._lease)
        return waiting

    def _enter(self, run: Run) -> Run:
        self._by_message[run._identity] = run
        if run._key is not None:
            self._by_key[run._key] = run
        if self._turned_away:
            self._turned_away.pop(run._identity, None)
        if self._done:
            self._forget_done_before(run)
        return run

    def _forget_done_before(self, run: Run) -> None:
        """Forgets what was done before somebody asked for another run: the retries of that one are its own."""
        done = self._done.get(run._identity)
        if done is None:
            return
        was, now = done[0], _HandedOver.of(run._delivery)
        if was.work == now.work and was.generation < now.generation and not was.is_before(now):
            del self._done[run._identity]

    def _is_hung(self, run: Run) -> bool:
        if not run._lost.is_set():
            return False
        now = self.clock.elapsed()
        if run._over_since is None:
            run._over_since = now
        message = run._delivery.message
        limit = message.time_limit if message else None
        return now - run._over_since >= max(HUNG_AFTER_LEASES * run._lease, limit or ZERO)


# A delivery that was turned away may never come here again.
_MOST_REMEMBERED: Final = 10_000
# These hold the details of their failures.
_MOST_DEAD: Final = 1_000
_MOST_DOUBLINGS: Final = 10

_OF_APPS: Final[WeakKeyDictionary[App, Runs]] = WeakKeyDictionary()
_OF_APPS_LOCK = threading.Lock()


def runs_of(app: App) -> Runs:
    """The one registry of what this process runs of an app, by whichever edge it came in."""
    clock = app.clock
    with _OF_APPS_LOCK:
        runs = _OF_APPS.get(app)
        if runs is None or runs.clock is not clock:  # `App.using` may have lent another one
            runs = _OF_APPS[app] = Runs(clock)
        return runs


def _after_fork() -> None:
    """A child process runs nothing of what its parent runs."""
    global _OF_APPS_LOCK  # noqa: PLW0603 - another thread of the parent may have held it
    _OF_APPS_LOCK = threading.Lock()
    _OF_APPS.clear()


os.register_at_fork(after_in_child=_after_fork)


def _shorten(remembered: dict[_Identity, Any], most: int = _MOST_REMEMBERED) -> None:
    while len(remembered) > most:
        del remembered[next(iter(remembered))]


def _work_of(delivery: Delivery) -> int:
    """A hash of all that a message's copies have in common."""
    if delivery.message is None:
        return hash(delivery.body)  # nothing can be copied that can't be decoded
    common = replace(delivery.message, queue=delivery.queue, attempt_base=0, generation=0, not_before=None)
    try:
        return hash(wire.encode(common))
    except Exception:  # noqa: BLE001 - whatever another program wrote: what can't be written anew has no copies
        return hash(delivery.body)


def _comes_again(delivery: Delivery, other: Delivery) -> bool:
    return _HandedOver.of(delivery).is_before(_HandedOver.of(other))


def _with_work(delivery: Delivery) -> _Identity:
    """Of several messages under one id each has its own verdict."""
    return *_identity(delivery), str(_work_of(delivery))


def _identity(delivery: Delivery) -> _Identity:
    # One event may be in several queues (a topic's subscriptions): each of them has its own work to do with it.
    message = delivery.message
    if message is None:
        return delivery.queue, delivery.id
    return delivery.queue, message.source, message.task, delivery.id
