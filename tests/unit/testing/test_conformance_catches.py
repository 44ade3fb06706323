"""The conformance kit catches drivers that break the contract: each is wrong in one way, and a behaviour says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Ack,
    Capabilities,
    DeadMessage,
    ExtendResult,
    Final,
    NativeDeadLetter,
    Outgoing,
    PullDriver,
    QueueStats,
    Release,
    SendResult,
    SettleResult,
)
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.memory.dead_letters import MemoryDeadLetters
from cloudq.drivers.memory.store import Entry, Shelf
from cloudq.errors import BackendError, BackendUnavailable, LeaseLost, MessageTooLarge
from cloudq.testing.clock import START, FakeClock
from cloudq.testing.conformance import Bench, DriverConformance, Harness, Stall
from cloudq.testing.conformance.robustness import POISON
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like

Profile = Callable[[str], Capabilities] | None


def entry_of(driver: MemoryDriver, lease: Lease) -> tuple[Shelf, Entry]:
    shelf = driver._shelf(lease.queue)
    return shelf, shelf.entries[lease.receipt.number]


# ── drivers that are wrong in one way ────────────────────────────────────────────────────────────────────


class StoresLater(MemoryDriver):
    """Keeps what it is sent to itself until it receives."""

    later: Sequence[Outgoing] = ()

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.later = [*self.later, *outgoing]
        return [SendResult()] * len(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        for item in self.later:
            super().send([item])
        self.later = ()
        return super().receive(queue, limit=limit, wait=wait, lease=lease)


class FailsTheWholeBatch(MemoryDriver):
    """Reports the error of one item for all."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        results = super().send(outgoing)
        error = next((result.error for result in results if result.error), None)
        return [SendResult(error=error)] * len(results) if error else results


class RaisesForOneItem(MemoryDriver):
    """Raises the error of one item."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        results = super().send(outgoing)
        for result in results:
            if result.error:
                raise result.error
        return results


class StripsBodies(MemoryDriver):
    """Trims white space."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, body=item.body.strip()) for item in outgoing])


class KeepsNoRoomForCopies(MemoryDriver):
    """Stores nothing that is larger than what a producer may send."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        if any(len(item.body) > self.capabilities(item.queue).max_body for item in outgoing):
            return [SendResult(error=MessageTooLarge("too large"))] * len(outgoing)
        return super().send(outgoing)


class StoresNoDetailsOfTheLarge(MemoryDriver):
    """Refuses what has details beside a body that is larger than what a producer may send."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        if any(item.failure and len(item.body) > self.capabilities(item.queue).max_body for item in outgoing):
            return [SendResult(error=MessageTooLarge("too large"))] * len(outgoing)
        return super().send(outgoing)


class SwallowsCopies(MemoryDriver):
    """De-duplicates by the message's id, which a copy keeps."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, native_id=item.native_id and item.id) for item in outgoing])


class NeverForgetsAKey(MemoryDriver):
    """Begins the window again with every duplicate."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        results = super().send(outgoing)
        shelf = self._shelf(outgoing[0].queue)
        for item, result in zip(outgoing, results, strict=True):
            if result.duplicate:
                shelf.seen[item.native_id] = (self._clock.elapsed() + timedelta(minutes=5), item.id)
        return results


class IgnoresKeys(MemoryDriver):
    """Declares a window and has none."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, native_id=None) for item in outgoing])


class IgnoresDelays(MemoryDriver):
    """Hands delayed messages over at once."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, delay=timedelta(0)) for item in outgoing])


class MixesQueues(MemoryDriver):
    """Has one queue."""

    def _shelf(self, queue: str) -> Shelf:
        return super()._shelf("all.fifo")


class IsNotExclusive(MemoryDriver):
    """Hands leased messages over to others."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = super().receive(queue, limit=limit, wait=wait, lease=lease)
        for delivery in deliveries:
            shelf, entry = entry_of(self, delivery.lease)
            shelf.hide(entry, self._clock.elapsed())
        return deliveries


class IgnoresTheLimit(MemoryDriver):
    """Returns more than was asked for."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        return super().receive(queue, limit=limit + 1, wait=wait, lease=lease)


class BringsMoreThanItSays(MemoryDriver):
    """Declares a bound, and brings whatever it is asked for."""

    def capabilities(self, queue: str) -> Capabilities:
        declared = super().capabilities(queue)
        return declared if declared.max_receive is None else replace(declared, max_receive=2)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        brought = super().receive(queue, limit=limit, wait=wait, lease=lease)
        return [*brought, *super().receive(queue, limit=limit, wait=wait, lease=lease)] if brought else []


class ReceivesInTurn(MemoryDriver):
    """A receive waits for the one before it."""

    turn = threading.Lock()

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        with self.turn:
            return super().receive(queue, limit=limit, wait=wait, lease=lease)


class OverstatesLeases(MemoryDriver):
    """Says that a lease is longer than it is."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        return [
            replace(delivery, lease=replace(delivery.lease, ends=delivery.lease.ends + timedelta(seconds=20)))
            for delivery in super().receive(queue, limit=limit, wait=wait, lease=lease)
        ]


class CountsNoDeliveries(MemoryDriver):
    """Every delivery is the first."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = super().receive(queue, limit=limit, wait=wait, lease=lease)
        return [replace(delivery, deliveries=1) for delivery in deliveries]


class DropsPoison(MemoryDriver):
    """Hands over only what it understands."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = super().receive(queue, limit=limit, wait=wait, lease=lease)
        return [delivery for delivery in deliveries if delivery.message]


class PollsHot(MemoryDriver):
    """Asks again and again."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        end = self._clock.now() + wait
        while True:
            deliveries = super().receive(queue, limit=limit, wait=timedelta(0), lease=lease)
            if deliveries or self._clock.now() >= end:
                return deliveries


class DoesNotWait(MemoryDriver):
    """Returns at once."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        return super().receive(queue, limit=limit, wait=timedelta(0), lease=lease)


class ReceivesWhenClosed(MemoryDriver):
    """Hands messages over after close."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self._closed = False
        return super().receive(queue, limit=limit, wait=timedelta(0), lease=lease)


class StaysInterrupted(MemoryDriver):
    """An interrupt ends later receives too."""

    interrupted = False

    def interrupt(self) -> None:
        self.interrupted = True

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        return [] if self.interrupted else super().receive(queue, limit=limit, wait=wait, lease=lease)


class KeepsNoOrder(MemoryDriver):
    """Declares an order and has none."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, ordering_key=f"{item.ordering_key} {item.id}") for item in outgoing])


class SettlesLate(MemoryDriver):
    """Carries out what comes after the lease's end, and confirms it."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        for final in finals:
            if isinstance(final.step, Ack):
                shelf = self._shelf(final.lease.queue)
                entry = shelf.entries.get(final.lease.receipt.number)
                if entry is not None:
                    shelf.remove(entry)
        return [SettleResult()] * len(finals)


class DeletesLate(MemoryDriver):
    """Declares that it fences, reports the late ack, and deletes all the same."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results = super().settle(finals)
        for final, result in zip(finals, results, strict=True):
            entry = self._shelf(final.lease.queue).entries.get(final.lease.receipt.number)
            if result.error and entry and isinstance(final.step, Ack):
                self._shelf(final.lease.queue).remove(entry)
        return results


class ReleasesLate(MemoryDriver):
    """Takes a message from its new holder when the old one releases it."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results = super().settle(finals)
        for final, result in zip(finals, results, strict=True):
            if result.error and isinstance(final.step, Release):
                shelf, entry = entry_of(self, final.lease)
                shelf.hide(entry, self._clock.elapsed())
        return results


class StopsAtTheFirstError(MemoryDriver):
    """Leaves the rest of a call undone."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results: list[SettleResult] = []
        for final in finals:
            failed = any(result.error for result in results)
            results += [SettleResult(error=BackendError("stopped"))] if failed else super().settle([final])
        return results


class ForgetsTheReleaseDelay(MemoryDriver):
    """Releases at once, whatever the delay."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        return super().settle(
            [
                replace(final, step=replace(final.step, delay=timedelta(0)))
                if isinstance(final.step, Release)
                else final
                for final in finals
            ]
        )


class CountsTheUncounted(MemoryDriver):
    """Counts every release."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        return super().settle(
            [
                replace(final, step=replace(final.step, counted=True)) if isinstance(final.step, Release) else final
                for final in finals
            ]
        )


class LosesTheReason(MemoryDriver):
    """Keeps dead letters without saying why."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        unknown = NativeDeadLetter(failure=Failure(reason="unknown"))
        return super().settle(
            [replace(final, step=unknown) if isinstance(final.step, NativeDeadLetter) else final for final in finals]
        )


class AcksUnknownSteps(MemoryDriver):
    """Takes a step that it doesn't know for an ack."""

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        return super().settle(
            [replace(final, step=Ack()) if isinstance(final.step, NativeDeadLetter) else final for final in finals]
        )


class PromisesMore(MemoryDriver):
    """Grants a shorter extension than it reports."""

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        results = super().extend(leases, by / 2)
        return [replace(result, ends=self._clock.elapsed() + by) if result.ends else result for result in results]


class RevivesLeases(MemoryDriver):
    """Extends a lease that is over, hiding the message again."""

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        for lease in leases:
            shelf, entry = entry_of(self, lease)
            shelf.hide(entry, self._clock.elapsed() + by)
        return [ExtendResult(expires_at=self._clock.now() + by, ends=self._clock.elapsed() + by)] * len(leases)


class PretendsToExtend(MemoryDriver):
    """Can't extend, and says that it did."""

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        return [ExtendResult(expires_at=self._clock.now() + by, ends=self._clock.elapsed() + by)] * len(leases)


class LosesWhatIsBeingSettled(MemoryDriver):
    """Takes a lease whose settlement has begun for one that is settled."""

    begun: Sequence[object] = ()

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        self.begun = [*self.begun, *(final.lease.receipt for final in finals)]
        return super().settle(finals)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        results = super().extend(leases, by)
        lost = ExtendResult(error=LeaseLost("settled"))
        return [lost if lease.receipt in self.begun else result for lease, result in zip(leases, results, strict=True)]


class CountsByTheWallClock(MemoryDriver):
    """Takes its spans from a clock that is set now and then."""

    def __init__(self, *, clock: FakeClock, **options: Any) -> None:
        super().__init__(clock=WallClock(clock), **options)


class WallClock:
    """A clock whose spans are differences of the time of day."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.now, self.wait = clock.now, clock.wait

    def elapsed(self) -> timedelta:
        return self.clock.now() - START


class SleepsThroughLeases(MemoryDriver):
    """Takes its spans from a clock that stands still while the machine is suspended."""

    def __init__(self, *, clock: FakeClock, **options: Any) -> None:
        super().__init__(clock=DrowsyClock(clock), **options)


class DrowsyClock(WallClock):
    """As `time.monotonic` is on Linux."""

    def elapsed(self) -> timedelta:
        return self.clock._awake


class PurgeEatsDeadLetters(MemoryDriver):
    """Purges everything."""

    def purge(self, queue: str) -> int | None:
        self._dead_shelf(queue).clear()
        return super().purge(queue)


class PurgeLeavesWhatIsInFlight(MemoryDriver):
    """Purges only what is ready."""

    def purge(self, queue: str) -> int | None:
        now = self._clock.elapsed()
        shelf = self._shelf(queue)
        ready = [entry for entry in shelf.entries.values() if not entry.is_leased(now)]
        for entry in ready:
            shelf.remove(entry)
        return None


class MiscountsWhatIsInFlight(MemoryDriver):
    """Counts leased messages as ready ones."""

    def stats(self, queue: str) -> QueueStats:
        stats = super().stats(queue)
        return replace(stats, ready=(stats.ready or 0) + (stats.in_flight or 0), in_flight=0)


class WrongDeadLetters(MemoryDriver):
    """A driver whose dead letters are of another class."""

    kind: type[MemoryDeadLetters]

    def dead_letters(self, queue: str) -> MemoryDeadLetters:
        letters = super().dead_letters(queue)
        letters.__class__ = self.kind
        return letters


class NewestFirst(WrongDeadLetters):
    """Lists the newest dead letter first."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
            return list(reversed(super().peek(limit=limit, after=after)))


class LookingTakes(WrongDeadLetters):
    """Leases dead letters by listing them."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
            found = super().peek(limit=limit, after=after)
            self.take([dead.key for dead in found], limit=limit, lease=timedelta(minutes=1))
            return found


class TakingIsShared(WrongDeadLetters):
    """Gives the same dead letter to two."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
            taken = super().take(keys, limit=limit, lease=lease)
            for entry in self._shelf().entries.values():
                self._shelf().hide(entry, self._clock.elapsed())
            return taken


class TakesWhateverItLikes(WrongDeadLetters):
    """Doesn't look at the keys."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
            return super().take(None, limit=limit, lease=lease)


class TellsNoGroup(WrongDeadLetters):
    """Says of no dead letter in whose order it was."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
            return [replace(dead, group=None) for dead in super().peek(limit=limit, after=after)]


class HoldsWhatIsReleased(WrongDeadLetters):
    """Keeps what is released until the lease's end."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
            return super().settle([final for final in finals if not isinstance(final.step, Release)])


class ForgetsCountsOfBytes(MemoryDriver):
    """Keeps a failure beside a copy, but for how often it was redriven."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send(
            [replace(item, failure=item.failure and replace(item.failure, redriven=0)) for item in outgoing]
        )


class PurgesAll(WrongDeadLetters):
    """Purges all dead letters when asked to purge some."""

    class kind(MemoryDeadLetters):  # noqa: N801 - it stands for the attribute
        def purge(self, keys: Sequence[str] | None) -> int:
            return super().purge(None)


# ── which behaviour catches which ────────────────────────────────────────────────────────────────────────

FIFO = "conformance.fifo"
QUEUE = "conformance"


class OnlySaysItCancels(MemoryDriver):
    """Cancels nothing, and says that it did."""

    def cancel(self, queue: str, handle: str) -> bool:
        return True


class CancelsWhateverIsThere(MemoryDriver):
    """Cancels what somebody works on."""

    def cancel(self, queue: str, handle: str) -> bool:
        shelf = self._shelf(queue)
        entry = shelf.entries.get(int(handle.partition("-")[0]))
        if entry is not None:
            shelf.remove(entry)
        return entry is not None


class CancelsTheNewest(MemoryDriver):
    """Takes a handle for that of whatever came last."""

    def cancel(self, queue: str, handle: str) -> bool:
        shelf = self._shelf(queue)
        if shelf.entries:
            shelf.remove(shelf.entries[max(shelf.entries)])
            return True
        return False


class ReceiptsForAll(MemoryDriver):
    """Gives handles that cancel nothing."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return [replace(result, receipt="1-1") for result in super().send(outgoing)]


class LeavesTheLine(MemoryDriver):
    """Takes a message off, and lets its followers wait for ever."""

    def cancel(self, queue: str, handle: str) -> bool:
        return self._shelf(queue).entries.pop(int(handle.partition("-")[0]), None) is not None


NOTHING: Mapping[str, object] = {}

CAUGHT: list[tuple[type[MemoryDriver], str, Mapping[str, object], str, Profile]] = [
    (StoresLater, "test_a_message_is_stored_when_send_returns", NOTHING, QUEUE, None),
    (FailsTheWholeBatch, "test_one_refused_item_does_not_hide_the_others", NOTHING, QUEUE, None),
    (RaisesForOneItem, "test_one_refused_item_does_not_hide_the_others", NOTHING, QUEUE, None),
    (StripsBodies, "test_the_body_is_kept_byte_for_byte", NOTHING, QUEUE, sqs_like),
    (KeepsNoRoomForCopies, "test_the_largest_message_survives_a_retry", NOTHING, QUEUE, sqs_like),
    (StoresNoDetailsOfTheLarge, "test_what_no_cloudq_could_send_is_put_away", NOTHING, QUEUE, sqs_like),
    (SwallowsCopies, "test_a_keyed_message_survives_a_retry", NOTHING, QUEUE, cloud_tasks_like),
    (SwallowsCopies, "test_a_keyed_message_survives_a_delayed_retry", NOTHING, QUEUE, service_bus_like),
    (SwallowsCopies, "test_a_keyed_message_survives_an_uncounted_retry", NOTHING, QUEUE, service_bus_like),
    (SwallowsCopies, "test_a_keyed_message_survives_hops", NOTHING, QUEUE, service_bus_like),
    (
        SwallowsCopies,
        "test_a_keyed_message_survives_the_dead_letter_queue_and_back",
        NOTHING,
        QUEUE,
        None,
    ),
    (SwallowsCopies, "test_a_keyed_message_survives_every_path_in_turn", NOTHING, QUEUE, None),
    (NeverForgetsAKey, "test_the_window_is_as_long_as_declared_and_ends", NOTHING, QUEUE, None),
    (IgnoresKeys, "test_a_key_is_stored_once_in_the_window", NOTHING, QUEUE, None),
    (IgnoresKeys, "test_a_copy_of_one_generation_is_stored_once", NOTHING, QUEUE, cloud_tasks_like),
    (IgnoresKeys, "test_a_dead_letter_of_one_generation_is_kept_once", NOTHING, QUEUE, cloud_tasks_like),
    (IgnoresKeys, "test_a_key_is_stored_once_by_many_senders", NOTHING, QUEUE, None),
    (IgnoresDelays, "test_a_delayed_message_comes_when_it_is_due", NOTHING, QUEUE, None),
    (IgnoresDelays, "test_a_retry_beyond_the_native_limit_goes_by_copy", NOTHING, QUEUE, cloud_tasks_like),
    (MixesQueues, "test_queues_do_not_mix", NOTHING, QUEUE, None),
    (MixesQueues, "test_a_key_is_a_queue_s_own", NOTHING, QUEUE, None),
    (MixesQueues, "test_an_ordering_key_is_a_queue_s_own", NOTHING, FIFO, None),
    (MixesQueues, "test_a_purge_leaves_other_queues", NOTHING, QUEUE, None),
    (IsNotExclusive, "test_a_lease_is_exclusive", NOTHING, QUEUE, None),
    (IsNotExclusive, "test_eight_receivers_never_share_a_message", NOTHING, QUEUE, None),
    (IgnoresTheLimit, "test_the_limit_is_kept", NOTHING, QUEUE, None),
    (BringsMoreThanItSays, "test_a_receive_brings_no_more_than_it_says", NOTHING, QUEUE, sqs_like),
    (ReceivesInTurn, "test_a_receive_is_not_held_up_by_another", NOTHING, QUEUE, sqs_like),
    (OverstatesLeases, "test_a_lease_lasts_as_long_as_it_says", NOTHING, QUEUE, None),
    (OverstatesLeases, "test_a_lease_is_counted_from_before_the_message_came", NOTHING, QUEUE, None),
    (CountsNoDeliveries, "test_every_crash_counts_as_a_delivery", NOTHING, QUEUE, None),
    (CountsNoDeliveries, "test_a_message_that_kills_its_worker_ends_as_a_dead_letter", NOTHING, QUEUE, None),
    (DropsPoison, "test_poison_is_handed_over_with_a_reason", {"kind": next(iter(POISON))}, QUEUE, None),
    (DropsPoison, "test_poison_ends_as_a_dead_letter", NOTHING, QUEUE, None),
    (PollsHot, "test_a_waiting_receive_does_not_poll_hot", NOTHING, QUEUE, None),
    (DoesNotWait, "test_a_receive_waits_for_a_message", NOTHING, QUEUE, None),
    (ReceivesWhenClosed, "test_a_closed_driver_receives_nothing", NOTHING, QUEUE, None),
    (StaysInterrupted, "test_a_receive_after_an_interrupt_waits", NOTHING, QUEUE, None),
    (KeepsNoOrder, "test_one_message_of_a_key_is_in_flight", NOTHING, FIFO, None),
    (KeepsNoOrder, "test_a_delayed_head_blocks_its_followers", NOTHING, FIFO, None),
    (KeepsNoOrder, "test_a_released_head_keeps_its_place", NOTHING, FIFO, None),
    (SettlesLate, "test_a_late_settlement_is_lease_lost", {"step": Ack()}, QUEUE, None),
    (SettlesLate, "test_a_second_settlement_is_lease_lost", {"second": Ack()}, QUEUE, None),
    (SettlesLate, "test_a_settlement_after_a_release_is_lease_lost", {"second": Ack()}, QUEUE, None),
    (SettlesLate, "test_a_lease_is_settled_by_one_of_many", NOTHING, QUEUE, None),
    (DeletesLate, "test_a_late_settlement_is_lease_lost", {"step": Ack()}, QUEUE, None),
    (DeletesLate, "test_a_late_settlement_does_not_touch_the_next_holder", {"step": Ack()}, QUEUE, None),
    (ReleasesLate, "test_a_late_settlement_does_not_touch_the_next_holder", {"step": Release()}, QUEUE, None),
    (StopsAtTheFirstError, "test_one_lost_lease_does_not_hide_the_other_settlements", NOTHING, QUEUE, None),
    (ForgetsTheReleaseDelay, "test_a_retry_is_not_early", NOTHING, QUEUE, None),
    (CountsTheUncounted, "test_an_uncounted_retry_uses_no_attempt", NOTHING, QUEUE, None),
    (LosesTheReason, "test_a_dead_letter_says_why", NOTHING, QUEUE, None),
    (AcksUnknownSteps, "test_a_native_dead_letter_is_kept_or_refused", NOTHING, QUEUE, sqs_like),
    (PromisesMore, "test_an_extension_grants_what_it_reports", NOTHING, QUEUE, None),
    (RevivesLeases, "test_a_lost_lease_is_not_extended", NOTHING, QUEUE, None),
    (RevivesLeases, "test_an_extension_does_not_touch_the_next_holder", NOTHING, QUEUE, None),
    (
        LosesWhatIsBeingSettled,
        "test_an_extension_beside_a_settlement_in_flight_is_for_real",
        NOTHING,
        QUEUE,
        None,
    ),
    (CountsByTheWallClock, "test_a_clock_that_is_set_changes_no_lease", {"step": timedelta(hours=1)}, QUEUE, None),
    (CountsByTheWallClock, "test_a_clock_that_is_set_changes_no_lease", {"step": timedelta(hours=-1)}, QUEUE, None),
    (CountsByTheWallClock, "test_a_clock_that_is_set_changes_no_extension", {"step": timedelta(hours=1)}, QUEUE, None),
    (CountsByTheWallClock, "test_a_clock_that_is_set_changes_no_extension", {"step": -timedelta(hours=1)}, QUEUE, None),
    (SleepsThroughLeases, "test_a_machine_that_slept_finds_its_lease_over", NOTHING, QUEUE, None),
    (PretendsToExtend, "test_an_extension_grants_what_it_reports", NOTHING, QUEUE, cloud_tasks_like),
    (PurgeEatsDeadLetters, "test_a_purge_leaves_dead_letters", NOTHING, QUEUE, None),
    (PurgeLeavesWhatIsInFlight, "test_a_purge_deletes_what_is_in_flight", NOTHING, QUEUE, None),
    (MiscountsWhatIsInFlight, "test_stats_count_messages_by_their_state", NOTHING, QUEUE, None),
    (NewestFirst, "test_dead_letters_are_listed_oldest_first_page_by_page", NOTHING, QUEUE, None),
    (LookingTakes, "test_looking_takes_nothing", NOTHING, QUEUE, None),
    (TakingIsShared, "test_a_taken_dead_letter_is_exclusive", NOTHING, QUEUE, None),
    (TakesWhateverItLikes, "test_chosen_dead_letters_are_taken", NOTHING, QUEUE, None),
    (PurgesAll, "test_chosen_dead_letters_are_purged", NOTHING, QUEUE, None),
    (PurgesAll, "test_a_condition_chooses_dead_letters", NOTHING, QUEUE, None),
    (LookingTakes, "test_what_a_look_hides_is_given_back_at_once", NOTHING, QUEUE, None),
    (LookingTakes, "test_a_dry_run_changes_nothing", NOTHING, QUEUE, None),
    (TakingIsShared, "test_two_operators_at_once_make_two_copies_at_most", NOTHING, QUEUE, None),
    (TakesWhateverItLikes, "test_an_edited_message_is_handed_over_as_it_says_now", NOTHING, QUEUE, None),
    (LosesTheReason, "test_dead_letters_of_one_cause_are_one_group", NOTHING, QUEUE, None),
    (ForgetsCountsOfBytes, "test_the_count_of_redrives_survives_them", NOTHING, QUEUE, None),
    (StripsBodies, "test_an_export_keeps_bodies_byte_for_byte", NOTHING, QUEUE, sqs_like),
    (SwallowsCopies, "test_an_edit_is_not_swallowed_by_an_unchanged_copy", NOTHING, QUEUE, None),
    (HoldsWhatIsReleased, "test_an_interrupted_redrive_leaves_each_in_one_place_or_in_two", NOTHING, QUEUE, None),
    (TellsNoGroup, "test_a_dead_letter_says_in_whose_order_it_was", NOTHING, FIFO, None),
    (OnlySaysItCancels, "test_what_waits_is_cancelled_and_never_handed_over", NOTHING, QUEUE, None),
    (OnlySaysItCancels, "test_what_waits_is_cancelled_and_never_handed_over", NOTHING, QUEUE, service_bus_like),
    (CancelsWhateverIsThere, "test_what_was_handed_over_is_not_cancelled", NOTHING, QUEUE, None),
    (CancelsWhateverIsThere, "test_what_was_begun_is_not_cancelled_when_its_lease_is_over", NOTHING, QUEUE, None),
    (CancelsWhateverIsThere, "test_a_retrys_copy_is_not_cancelled", NOTHING, QUEUE, None),
    (CancelsTheNewest, "test_a_receipt_is_of_one_message_only", NOTHING, QUEUE, None),
    (ReceiptsForAll, "test_what_is_ready_has_a_receipt_only_if_it_can_be_cancelled", NOTHING, QUEUE, service_bus_like),
    (LeavesTheLine, "test_the_next_of_its_key_comes", NOTHING, "conformance.fifo", None),
]


class OneDriver(Harness):
    """A driver of the given class on a fake clock."""

    sets_the_clock = True

    def __init__(self, kind: type[MemoryDriver], queue: str, profile: Profile) -> None:
        super().__init__(clock=FakeClock(patience=timedelta(seconds=5)), queue=queue)
        self.kind = kind
        self.profile = profile

    def open(self) -> PullDriver:
        self.driver = self.kind(clock=self.clock, capabilities=self.profile)
        return self.driver

    def second_client(self) -> PullDriver:
        return self.driver.share()

    def stall(self, driver: PullDriver, stall: Stall) -> bool:
        hold_up(driver, stall)
        return True


def hold_up(driver: PullDriver, stall: Stall) -> None:
    """Makes a flight of the step from a memory driver to its store."""
    assert isinstance(driver, MemoryDriver)
    settle = driver._settler.settle

    def settle_in_flight(finals: Sequence[Final], shelf_of: Callable[[Final], Shelf]) -> list[SettleResult]:
        if stall.hang():
            return [SettleResult(error=BackendUnavailable("cut off"))] * len(finals)
        return settle(finals, shelf_of)

    driver._settler.settle = settle_in_flight  # type: ignore[method-assign]  # in place of a network


def show(
    kind: type[MemoryDriver], behaviour: str, parameters: Mapping[str, object], queue: str, profile: Profile
) -> None:
    bench = Bench(OneDriver(kind, queue, profile))
    try:
        getattr(DriverConformance(), behaviour)(bench, **parameters)
    finally:
        bench.close()


@pytest.mark.parametrize(
    ("kind", "behaviour", "parameters", "queue", "profile"),
    CAUGHT,
    ids=[f"{case[0].__name__}-{case[1].removeprefix('test_')}" for case in CAUGHT],
)
def test_a_broken_driver_is_caught(
    kind: type[MemoryDriver], behaviour: str, parameters: Mapping[str, object], queue: str, profile: Profile
) -> None:
    """The behaviour holds for the memory driver and fails for the one that breaks it."""
    show(MemoryDriver, behaviour, parameters, queue, profile)
    with pytest.raises((AssertionError, BackendError, MessageTooLarge)):
        show(kind, behaviour, parameters, queue, profile)
