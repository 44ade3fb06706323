"""What becomes of a delivery whose payload can't be had, and how an event loop waits for one."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.loading import LONGEST_WAIT, PATIENCE, SHORTEST_WAIT, not_loaded, off_the_loop
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Snoozed
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.core.reference import Reference
from cloudq.errors import (
    BackendError,
    ConfigurationError,
    PayloadLost,
    PayloadUnavailable,
    TimeLimitExceeded,
    UndecodableError,
)
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGE = Message(id="1", task="t", queue="q", reference=Reference(key="a", sha256="0" * 64, size=5))


def delivery(deliveries: int = 1, failure: Failure | None = None, message: Message = MESSAGE) -> Delivery:
    lease = Lease(queue="q", receipt=None, expires_at=NOW + timedelta(hours=1), ends=timedelta(hours=1))
    return Delivery.of(wire.encode(message), native_id="1", runs=1, deliveries=deliveries, lease=lease, failure=failure)


@pytest.mark.parametrize("error", [PayloadLost("gone"), UndecodableError("no JSON"), ConfigurationError("no store")])
def test_what_no_waiting_mends_is_dead_lettered(error):
    """With the reason, and the error's type."""
    outcome = not_loaded(delivery(), error, NOW)
    assert isinstance(outcome, DeadLettered)
    assert f"payload: {error}" == outcome.reason == outcome.failure.reason
    assert f"cloudq.errors.{type(error).__name__}" == outcome.failure.error_type


@pytest.mark.parametrize(
    "error", [PayloadUnavailable("down"), BackendError("no"), OSError("x"), TimeLimitExceeded("x")]
)
def test_anything_else_is_waited_for(error):
    """Without using up an attempt; the failure says what it waits for, whatever was raised."""
    outcome = not_loaded(delivery(), error, NOW)
    assert isinstance(outcome, Snoozed)
    assert (False, "cloudq.errors.PayloadUnavailable") == (outcome.counted, outcome.failure.error_type)
    assert 0.75 * SHORTEST_WAIT <= outcome.delay <= SHORTEST_WAIT


def test_a_load_that_took_too_long_says_so():
    """Not that the task did."""
    assert "payload: not fetched in time" == not_loaded(delivery(), TimeLimitExceeded("the task"), NOW).reason


@pytest.mark.parametrize(("lasted", "longest"), [(1, 5), (60, 30), (300, 150), (900, 300), (80_000, 300)])
def test_the_waits_grow_with_the_time_that_it_has_lasted(lasted, longest):
    """Half of it, within their bounds."""
    failure = Failure(reason="", waiting_since=NOW - timedelta(seconds=lasted))
    outcome = not_loaded(delivery(failure=failure), PayloadUnavailable("down"), NOW)
    assert timedelta(seconds=0.75 * longest) <= outcome.delay <= timedelta(seconds=longest)


def test_where_no_failure_is_kept_the_deliveries_are_counted():
    """On an ordered queue of SQS, say."""
    delays = [not_loaded(delivery(count), PayloadUnavailable("down"), NOW).delay for count in (1, 2, 3, 999)]
    assert delays == sorted(delays)
    assert delays[-1] <= LONGEST_WAIT


def test_what_was_given_back_uncounted_is_no_wait_for_the_payload():
    """It waited for something else, before anybody looked for its payload."""
    often = replace(delivery(deliveries=40), known_ends=39)
    outcome = not_loaded(often, PayloadUnavailable("down"), NOW)
    assert outcome.delay <= SHORTEST_WAIT


def test_only_waiting_in_a_row_counts_as_waiting():
    """A task that has failed for days may wait for a day more."""
    old = Failure(reason="", error_type="ValueError", first_at=NOW - 3 * PATIENCE)
    assert isinstance(not_loaded(delivery(failure=old), PayloadUnavailable("down"), NOW), Snoozed)
    waiting = replace(old, waiting_since=NOW - 2 * PATIENCE)
    assert isinstance(not_loaded(delivery(failure=waiting), PayloadUnavailable("down"), NOW), DeadLettered)


# ── in the Processor ─────────────────────────────────────────────────────────────────────────────────────


class Handler:
    """A task whose payload is loaded by a function."""

    name = "t"
    retry_policy = RetryPolicy()
    time_limit = timedelta(minutes=1)
    context = None

    def __init__(self, load, *, is_async=False):
        self._load = load
        self.is_async = is_async
        self.deadlines = []
        self.payloads = []

    def load(self, message):
        return replace(message, payload=self._load(), reference=None)

    def bind(self, delivery, message, *, deadline, lease_lost, claim=None):
        self.deadlines.append(deadline)
        self.payloads.append(message.payload)
        return self

    def run(self):
        pass

    async def arun(self):
        pass


@pytest.mark.parametrize("is_async", [False, True])
def test_patience_begins_with_the_waiting_and_not_with_another_failure(is_async):
    """A task that failed two days ago waits a whole day for its payload's store; when it first failed is kept."""

    def load():
        raise PayloadUnavailable("restarting")

    clock = FakeClock(NOW)
    processor = Processor({"t": Handler(load, is_async=is_async)}, clock=clock)

    def work(before):
        failed = delivery(failure=before)
        return asyncio.run(processor.aprocess(failed)) if is_async else processor.process(failed)

    two_days_ago = NOW - timedelta(days=2)
    outcome = work(Failure(reason="", error_type="ValueError", first_at=two_days_ago))
    for wait in (timedelta(seconds=5), PATIENCE - timedelta(seconds=5)):
        clock.advance(wait)
        outcome = work(Failure.decode(outcome.failure.encode()))
        assert isinstance(outcome, Snoozed)
    clock.advance(timedelta(seconds=1))
    outcome = work(outcome.failure)
    assert isinstance(outcome, DeadLettered)
    assert "payload: its store has been unavailable since 2026-01-01T12:00:00+00:00: restarting" == outcome.reason
    assert two_days_ago == outcome.failure.first_at


def test_the_time_limit_begins_when_the_payload_is_there():
    """A slow store isn't the task's fault."""
    clock = FakeClock(NOW)

    def load():
        clock.advance(timedelta(minutes=3))
        return {"a": 1}

    handler = Handler(load)
    Processor({"t": handler}, clock=clock).process(delivery())
    assert [NOW + timedelta(minutes=4)] == handler.deadlines
    assert [{"a": 1}] == handler.payloads


@pytest.mark.parametrize("message", [replace(MESSAGE, task="unknown"), replace(MESSAGE, not_before=NOW + PATIENCE)])
def test_what_isnt_run_isnt_fetched(message):
    """An unknown task, a message that isn't due: they need no payload."""
    calls = []
    Processor({"t": Handler(lambda: calls.append(1))}, clock=FakeClock(NOW)).process(delivery(message=message))
    Processor({"t": Handler(lambda: calls.append(1))}, clock=FakeClock(NOW)).process(delivery(deliveries=99))
    assert [] == calls


def test_a_message_with_its_payload_asks_for_nothing():
    """Handlers that know of no store work as ever."""
    handler = Handler(None)
    Processor({"t": handler}, clock=FakeClock(NOW)).process(delivery(message=replace(MESSAGE, reference=None)))
    assert [{}] == handler.payloads


def test_a_load_that_hangs_is_ended():
    """The slot is free again and the message waits in its queue."""
    clock = FakeClock(NOW)
    limits = ThreadTimeLimits(clock)
    begun = threading.Event()

    def load():
        begun.set()
        while True:
            threading.Event().wait(0.001)

    processor = Processor({"t": Handler(load)}, clock=clock, time_limiter=limits)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(processor.process(delivery())), daemon=True)
    thread.start()
    assert begun.wait(60)
    clock.until_waiting()
    clock.advance(timedelta(minutes=6))
    thread.join(60)
    limits.close()
    assert ["payload: not fetched in time"] == [outcome.reason for outcome in outcomes]


def test_a_load_for_a_loop_blocks_nobody_else():
    """Another coroutine goes on meanwhile; errors arrive where they are awaited."""
    free = threading.Event()

    async def main():
        loading = asyncio.create_task(off_the_loop(lambda: free.wait(60) and "payload"))
        await asyncio.sleep(0)
        free.set()
        assert "payload" == await loading
        with pytest.raises(ZeroDivisionError):
            await off_the_loop(lambda: 1 / 0)

    asyncio.run(main())


@pytest.mark.parametrize(("error", "seen"), [(SystemExit(1), SystemExit), (StopIteration(), RuntimeError)])
def test_whatever_a_store_raises_arrives(error, seen):
    """Also what no `except Exception` catches, and what a future doesn't take: nobody waits for ever."""

    def load():
        raise error

    async def main():
        with pytest.raises(seen):
            await off_the_loop(load)

    asyncio.run(main())


def test_a_load_that_nobody_waits_for_any_more_is_dropped():
    """Cancelled, or its loop closed: nothing is raised anywhere."""
    free, done = threading.Event(), threading.Event()

    def load():
        free.wait(60)
        done.set()

    async def main(let_go):
        loading = asyncio.create_task(off_the_loop(load))
        await asyncio.sleep(0)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        if let_go:
            free.set()
            while not done.is_set():
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)

    asyncio.run(main(True))
    free.clear()
    done.clear()
    asyncio.run(main(False))
    free.set()
    assert done.wait(60)
