"""`StoreClaims`: the same work is done once, whoever is handed its messages, and whatever happens in between."""

from __future__ import annotations

import gc
import logging
import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

import cloudq
from cloudq import App, Retry
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.fingerprint import fingerprint
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DUPLICATE, Acked, DeadLettered, Snoozed, Why
from cloudq.core.processor import no_time_limit
from cloudq.core.redriving import Edit, with_edit
from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress, RecordState
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.running.claims import KEEP, LEASE, LONGEST_WAIT, MARGIN, StoreClaims
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.processing import processor_of
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock, in_memory, profiles, run_all

KEY = ClaimKey("charge", "order-42")
AT = FakeClock().now()


@pytest.fixture
def app():
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


@pytest.fixture
def charges(app):
    """What the task `charge` did."""
    done = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int, amount: int = 5) -> None:
        done.append((order, amount))

    return done


def message_of(task="charge", *, key="order-42", name="1", **payload):
    return Message(id=name, task=task, queue="default", payload=payload or {"order": 42}, idempotency_key=key)


def delivery_of(app, message, deliveries=1):
    now, elapsed = app.clock.now(), app.clock.elapsed()
    lease = Lease(queue="default", receipt=None, expires_at=now + LEASE, ends=elapsed + LEASE)
    return Delivery(
        queue="default",
        id=message.id,
        body=b"",
        message=message,
        undecodable=None,
        attempt=1,
        deliveries=deliveries,
        lease=lease,
    )


def deliver(app, message=None, processor=None, **options):
    """Runs it as an edge would, in this thread."""
    message = message or message_of()
    processor = processor or processor_of(app, no_time_limit, heartbeat=False)
    return processor.process(delivery_of(app, message), **options)


def store_of(app):
    return app.runtime.store


def noting(runs):
    """A task's function that notes its runs."""

    def task(order: int) -> None:
        runs.append(order)

    return task


class Watched(MemoryStore):
    """A memory store whose renewals can be waited for."""

    def __init__(self, clock):
        super().__init__(clock)
        self._changed, self._renewals = threading.Condition(), 0

    def renew(self, *args, **kwargs):
        held = super().renew(*args, **kwargs)
        with self._changed:
            self._renewals += 1
            self._changed.notify_all()
        return held

    def until_renewed(self, times):
        with self._changed:
            assert self._changed.wait_for(lambda: self._renewals >= times, 60), self._renewals


@pytest.fixture
def watched():
    """An app in memory, with such a store."""
    app, clock = App(), FakeClock()
    with app.using(MemoryDriver(clock=clock), clock=clock, store=Watched(clock)):
        yield app


# ── once ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_that_comes_again_runs_once(app, charges):
    """It is acknowledged unrun."""
    assert [ACKED, DUPLICATE] == [deliver(app), deliver(app)]
    assert [(42, 5)] == charges
    assert RecordState.COMPLETED is store_of(app).show(KEY).state


def test_another_message_of_the_key_does_not_run(app, charges):
    """Whenever and wherever it was sent, as long as the record is kept."""
    deliver(app)
    app.clock.advance(KEEP - timedelta(seconds=1))
    assert DUPLICATE is deliver(app, message_of(name="2"))
    assert [(42, 5)] == charges


def test_an_expired_key_runs_again(app, charges):
    """Kept for as long as a repeat may come, the record goes; the same key is new work then."""
    deliver(app)
    app.clock.advance(KEEP)
    assert ACKED is deliver(app, message_of(name="2"))
    assert [(42, 5)] * 2 == charges


def test_other_keys_and_tasks_run(app, charges):
    """A key is one task's."""
    app.task("mail")(noting(charges))
    deliver(app)
    deliver(app, message_of(key="order-43", order=43))
    deliver(app, message_of("mail"))
    assert [(42, 5), (43, 5), 42] == charges


def test_while_one_runs_another_waits(app):
    """Without using an attempt, for as long as the claim may hold."""
    seen = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        if not seen:
            seen.append(deliver(app, message_of(name="2")))

    assert ACKED is deliver(app)
    [outcome] = seen
    assert Why.CLAIMED is outcome.why
    assert LEASE <= outcome.delay <= 2 * LEASE


def test_a_failure_gives_the_key_back(app):
    """The retry runs at once, and its success ends the work."""
    runs = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        runs.append(order)
        if len(runs) == 1:
            raise Retry("not yet")

    assert not isinstance(deliver(app), Acked)
    assert [ACKED, DUPLICATE] == [deliver(app), deliver(app)]
    assert [42, 42] == runs


def test_a_dead_workers_claim_lapses(app, charges):
    """The next delivery waits for that, and takes it over."""
    store_of(app).claim(KEY, owner="dead", lease=LEASE, fingerprint=None, keep=KEEP)
    app.clock.advance(LEASE / 2)
    outcome = deliver(app)
    assert Why.CLAIMED is outcome.why
    assert LEASE / 2 <= outcome.delay <= LEASE
    app.clock.advance(outcome.delay)
    assert ACKED is deliver(app)
    assert [(42, 5)] == charges


def test_async_tasks_are_claimed_as_well(app):
    """The store is asked off their loop."""
    runs = []

    @app.task("charge", idempotency_key="order-{order}")
    async def charge(order: int) -> None:
        runs.append(order)

    for order in (1, 1, 2):
        charge.send(order=order)
    run_all(app)
    assert [1, 2] == runs


def test_the_fence_grows_with_each_claim(app):
    """Also when the one before was released; without a key there is none."""
    fences = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(context: cloudq.Context, order: int) -> None:
        fences.append(context.fence)
        if len(fences) == 1:
            raise Retry("again")

    @app.task("plain")
    def plain(context: cloudq.Context, order: int) -> None:
        fences.append(context.fence)

    deliver(app)
    deliver(app)
    deliver(app, message_of("plain", key=None))
    assert fences[0] < fences[1]
    assert fences[2] is None


# ── what the key is ──────────────────────────────────────────────────────────────────────────────────────


def test_a_message_without_its_declared_key_gets_it(app, charges):
    """Another program sent it, which doesn't know the template."""
    deliver(app, message_of(key=None))
    deliver(app, message_of(key=None, name="2"))
    assert [(42, 5)] == charges
    assert RecordState.COMPLETED is store_of(app).show(KEY).state


def test_a_key_that_cannot_be_made_is_the_payloads_fault(app):
    """Nothing runs unclaimed that declares a key."""
    app.task("charge", idempotency_key=lambda order: "" if order else "x")(lambda order: None)
    outcome = deliver(app, message_of(key=None))
    assert isinstance(outcome, DeadLettered)
    assert "idempotency_key is a text of 1 to 512 characters without NUL" in outcome.reason


@pytest.mark.parametrize("key", ["order\x0042", "x" * 513], ids=["nul", "long"])
def test_a_key_that_no_send_takes_is_poison(app, charges, key):
    """Another program sent it. A database that can't hold it would else look as if it were down, to all messages."""
    outcome = deliver(app, message_of(key=key))
    assert isinstance(outcome, DeadLettered)
    assert "1 to 512 characters without NUL" in outcome.reason
    assert [] == charges


def test_a_sends_own_key_is_claimed(app):
    """The task needn't declare one."""
    runs = []
    app.task("plain")(noting(runs))
    for name in "12":
        deliver(app, message_of("plain", key="mine", name=name))
    assert [42] == runs


def test_workers_of_before_a_rename_are_kept_out(app):
    """They claim under the old name: so does who knows it, whichever comes first."""
    runs = []

    @app.task("shop.charge", aliases=["charge"], idempotency_key="order-{order}")
    def charge(order: int) -> None:
        runs.append(order)
        if len(runs) == 1:
            assert isinstance(as_before_the_rename(KEY), InProgress)

    def as_before_the_rename(key):
        return store_of(app).claim(key, owner="old", lease=LEASE, fingerprint=None, keep=KEEP)

    deliver(app)
    deliver(app, message_of("shop.charge"))
    assert [42] == runs
    assert isinstance(as_before_the_rename(KEY), Completed)
    other = ClaimKey("charge", "order-43")
    assert isinstance(as_before_the_rename(other), Claimed)
    outcome = deliver(app, message_of("shop.charge", key="order-43", order=43))
    assert Why.CLAIMED is outcome.why
    assert RecordState.RELEASED is store_of(app).show(ClaimKey("shop.charge", "order-43")).state


# ── its payload ──────────────────────────────────────────────────────────────────────────────────────────


def test_another_payload_under_the_same_key_is_a_mistake(app, charges):
    """Dead-lettered with both fingerprints, once the work is done as well as while it is under way."""
    deliver(app)
    for _ in range(2):
        outcome = deliver(app, message_of(order=42, amount=7))
        assert isinstance(outcome, DeadLettered)
        prints = [word.rstrip(",") for word in outcome.reason.split() if len(word) >= 64]
        assert 2 == len(set(prints)), outcome.reason
        store_of(app).forget(KEY)
        store_of(app).claim(KEY, owner="other", lease=LEASE, fingerprint=b"f" * 32, keep=KEEP)
    assert [(42, 5)] == charges


def edited(message, **payload):
    """As `cloudq dlq edit` leaves it."""
    edit = Edit(at=AT, by="ann", what=["payload"], was=fingerprint(message.payload).hex())
    return with_edit(replace(message, payload=payload), edit)


def test_an_edit_is_no_other_payload(app, charges):
    """What an operator corrected is the same work: done before, or waited for; nobody else's payload is."""
    wrong = message_of(order=42, amount=5)
    assert ACKED == deliver(app, wrong)
    assert DUPLICATE == deliver(app, edited(wrong, order=42, amount=6))
    assert isinstance(deliver(app, edited(message_of(order=42, amount=7), order=42, amount=6)), DeadLettered)
    assert [(42, 5)] == charges


def test_an_edit_waits_for_a_run_of_what_it_was(app, charges):
    """A copy of it may still be at work."""
    wrong = message_of(order=42, amount=5)
    claim = store_of(app).claim(KEY, owner="x", lease=LEASE, fingerprint=fingerprint(wrong.payload), keep=KEEP)
    assert isinstance(claim, Claimed)
    waiting = deliver(app, edited(wrong, order=42, amount=6))
    assert isinstance(waiting, Snoozed)
    store_of(app).release(KEY, claim.token)
    assert ACKED == deliver(app, edited(wrong, order=42, amount=6))
    assert [(42, 6)] == charges


def test_after_a_failure_another_payload_may_follow(app):
    """A record that was released keeps no fingerprint: an operator's edit of the dead letter is no other work."""
    amounts = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int, amount: int) -> None:
        amounts.append(amount)
        if amount < 0:
            raise cloudq.DeadLetter("negative")

    deliver(app, message_of(order=42, amount=-5))
    assert ACKED is deliver(app, message_of(order=42, amount=5))
    assert [-5, 5] == amounts


def test_what_is_ignored_may_differ(app):
    """A time of sending, say."""
    runs = []

    @app.task("charge", idempotency_key="order-{order}", idempotency_ignore={"requested_at"})
    def charge(order: int, requested_at: str) -> None:
        runs.append(requested_at)

    for moment in ("now", "later"):
        expected = ACKED if moment == "now" else DUPLICATE
        assert expected is deliver(app, message_of(order=42, requested_at=moment))
    assert ["now"] == runs


# ── until when ───────────────────────────────────────────────────────────────────────────────────────────


def test_until_its_start_a_dead_workers_task_is_not_started_again(app):
    """Its message waits, however long the worker has been silent; what finished is finished."""
    runs = []
    app.task("charge", idempotency_key="order-{order}", unique_until="start")(noting(runs))
    processor = processor_of(app, no_time_limit, heartbeat=False)
    claims = StoreClaims(app, heartbeat=None)
    message = message_of()
    claims.begin(None, message, delivery_of(app, message), threading.Event())  # and its process is gone
    app.clock.advance(timedelta(days=3))
    outcome = deliver(app, processor=processor)
    assert Why.CLAIMED is outcome.why
    assert LONGEST_WAIT <= outcome.delay <= 2 * LONGEST_WAIT
    assert [] == runs
    deliver(app, message_of(key="order-43", order=43), processor)
    deliver(app, message_of(key="order-43", order=43), processor)
    assert [43] == runs


def test_until_its_start_a_failure_that_was_seen_is_retried(app):
    """The worker knows that it ended."""
    runs = []

    @app.task("charge", idempotency_key="order-{order}", unique_until="start")
    def charge(order: int) -> None:
        runs.append(order)
        if len(runs) == 1:
            raise Retry("again")

    deliver(app)
    assert ACKED is deliver(app)
    assert [42, 42] == runs


@pytest.mark.parametrize(
    ("capabilities", "keep"),
    [
        (None, timedelta(days=28)),
        (profiles.sqs_like, timedelta(days=28)),
        (profiles.cloud_tasks_like, timedelta(days=62)),
    ],
    ids=["default", "sqs", "cloud tasks"],
)
def test_records_are_kept_for_as_long_as_a_repeat_may_come(capabilities, keep):
    """From the queue, and from its dead-letter queue after that."""
    app = App()
    app.task("charge", idempotency_key="order-{order}")(lambda order: None)
    with in_memory(app, clock=FakeClock(), capabilities=capabilities):
        deliver(app)
        assert app.clock.now() + keep == store_of(app).show(KEY).keep_until


def test_a_claim_lasts_for_the_tasks_own_lease(app):
    """As long as a worker may be silent."""
    lease = timedelta(minutes=10)

    @app.task("charge", idempotency_key="order-{order}", lease=lease)
    def charge(order: int) -> None:
        assert app.clock.now() + lease == store_of(app).show(KEY).until

    assert ACKED is deliver(app)


def test_where_the_process_stands_still_a_claim_lasts_until_the_hosts_end(app):
    """And a little longer: nothing can renew it."""
    left = timedelta(minutes=14)

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        assert app.clock.now() + left + MARGIN == store_of(app).show(KEY).until

    assert ACKED is deliver(app, until=app.clock.elapsed() + left)


def test_where_it_goes_on_the_claim_is_renewed_however_soon_the_edge_ends(watched):
    """A handler that outlives its push has no successor beside it, for as long as it runs."""
    app, beats = watched, []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        if beats:
            return
        for beat in range(1, 7):
            app.clock.until_waiting()
            app.clock.advance(LEASE / 3)
            store_of(app).until_renewed(beat)
            beats.append(deliver(app, message_of(name="2")).why)

    processor = processor_of(app, no_time_limit)
    assert ACKED is deliver(app, processor=processor, until=app.clock.elapsed() + timedelta(seconds=30))
    assert [Why.CLAIMED] * 6 == beats


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────


class Down(MemoryStore):
    """A store that can't be reached, or refuses."""

    error = StoreUnavailable("no route to host")

    def claim(self, *args, **kwargs):
        raise self.error


class Refusing(Down):
    error = StoreRefused("permission denied for table cloudq_claims")


@pytest.mark.parametrize("store", [Down, Refusing])
def test_what_cannot_be_claimed_waits(store):
    """Fail closed, whatever the store's trouble is."""
    app, runs = App(), []
    app.task("charge", idempotency_key="order-{order}")(noting(runs))
    with app.using(MemoryDriver(), clock=FakeClock(), store=store()):
        outcome = deliver(app)
        assert isinstance(outcome, Snoozed)
        assert Why.STORE_DOWN is outcome.why
        assert str(store.error) in outcome.reason
    assert [] == runs


def test_what_is_declared_to_run_all_the_same_does(caplog):
    """Chosen for this task: rather twice than late. It is said, and there is no fence."""
    app, fences = App(), []

    @app.task("charge", idempotency_key="order-{order}", on_store_error="run")
    def charge(context: cloudq.Context, order: int) -> None:
        fences.append(context.fence)

    with app.using(MemoryDriver(), clock=FakeClock(), store=Down()):
        processor = processor_of(app, no_time_limit, heartbeat=False)
        assert [ACKED, ACKED] == [deliver(app, processor=processor), deliver(app, processor=processor)]
    assert [None, None] == fences
    assert "runs without a claim" in caplog.text


def test_a_claim_whose_answer_was_lost_is_given_again(app, charges):
    """To the same owner, by a second call."""

    class Cut(MemoryStore):
        cut = True

        def claim(self, *args, **kwargs):
            claim = super().claim(*args, **kwargs)
            if self.cut:
                self.cut = False
                raise StoreUnavailable("the connection was reset")
            return claim

    with app.using(app.driver(), clock=app.clock, store=Cut(app.clock)):
        assert ACKED is deliver(app)
    assert [(42, 5)] == charges


def test_owners_are_this_runs_alone(app):
    """Two runs of one process have two."""
    owners = []

    @app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        owners.append(store_of(app).show(ClaimKey("charge", f"order-{order}")).owner)

    deliver(app)
    deliver(app, message_of(key="order-43", order=43))
    hosts = [owner.rpartition(":")[0] for owner in owners]
    assert hosts[0] == hosts[1]
    assert owners[0] != owners[1]


@pytest.mark.parametrize(("store", "reachable"), [(MemoryStore, True), (Down, False), (Refusing, False)])
def test_a_store_is_asked_by_a_write(store, reachable):
    """One that can only be read can claim nothing."""
    app = App()
    with app.using(MemoryDriver(), clock=FakeClock(), store=store()):
        claims = StoreClaims(app, heartbeat=None)
        assert [reachable, reachable] == [claims.reachable(), claims.reachable()]


# ── none ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_store_a_sends_own_key_is_the_backends(caplog):
    """Said once; a worker with a declared key doesn't start, so that this can only be a send's own."""
    app, runs = App(), []
    app.task("plain")(noting(runs))
    with app.using(MemoryDriver(), clock=FakeClock()), caplog.at_level(logging.WARNING):
        processor = processor_of(app, no_time_limit)
        for name in "12":
            assert ACKED is deliver(app, message_of("plain", key="mine", name=name), processor)
    assert [42, 42] == runs
    assert 1 == caplog.text.count("there is no store to claim it in")


def test_where_none_is_wanted_nothing_is_said(caplog):
    """Keys are left to the backend, as before."""
    app, runs = App(store="none"), []
    app.task("charge", idempotency_key="order-{order}")(noting(runs))
    with in_memory(app, clock=FakeClock()):
        deliver(app)
        deliver(app)
    assert [42, 42] == runs
    assert "" == caplog.text


def test_what_has_no_key_asks_no_store():
    """It costs nothing."""
    app, runs = App(), []
    app.task("plain")(noting(runs))
    with app.using(MemoryDriver(), clock=FakeClock(), store=Down()):
        assert ACKED is deliver(app, message_of("plain", key=None))
    assert [42] == runs


def test_the_claim_of_a_run_that_is_gone_lapses(watched):
    """Nobody has it any more, so nothing renews it."""
    app = watched
    app.task("charge", idempotency_key="order-{order}")(lambda order: None)
    heartbeat = Heartbeat(app.clock)
    claims = StoreClaims(app, heartbeat=heartbeat)
    message = message_of()
    held = claims.begin(None, message, delivery_of(app, message), threading.Event())
    assert ("cloudq", KEY) == (held.namespace, held.key)
    app.clock.until_waiting()
    app.clock.advance(LEASE / 3)
    store_of(app).until_renewed(1)
    del held
    gc.collect()
    app.clock.advance(LEASE)
    assert RecordState.LAPSED is store_of(app).show(KEY).state
