"""Leases: exclusive, fenced, extended, given back."""

from datetime import timedelta

from cloudq.core.driver import Ack, Final, NativeDeadLetter, Release
from cloudq.core.failure import Failure
from cloudq.drivers.sqlite.rows import DeadReceipt, MessageReceipt
from cloudq.errors import LeaseLost

SECOND = timedelta(seconds=1)
FAILURE = Failure(reason="it broke", attempts=1)


def lost(errors):
    return [isinstance(error, LeaseLost) for error in errors]


def stored(bench):
    return bench.query("SELECT seq, visible_at, boot, deliveries, runs, failure FROM message ORDER BY seq")


def test_a_late_settle_reports_lease_lost_and_changes_nothing(bench, driver):
    """After the lease's end every step is LeaseLost, and the row is as it was."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=SECOND)
    bench.clock.advance(SECOND)
    before = stored(bench)
    for step in (Ack(), Release(failure=FAILURE), NativeDeadLetter(failure=FAILURE)):
        assert [True] == lost(bench.settle(driver, step, delivery))
    assert before == stored(bench)
    assert 0 == driver.stats("q").dead


def test_an_old_lease_does_not_settle_the_next_holders_message(bench, driver):
    """The receipt of an expired lease fits no later delivery of the message."""
    bench.send(driver, "a")
    (old,) = bench.receive(driver, lease=SECOND)
    bench.clock.advance(SECOND)
    (new,) = bench.receive(driver)
    before = stored(bench)
    assert [True] == lost(bench.settle(driver, Ack(), old))
    assert before == stored(bench)
    assert [False] == lost(bench.settle(driver, Ack(), new))


def test_a_late_ack_deletes_no_later_message(bench, driver):
    """The receipt of a message that is gone fits none that was sent since, whose delivery has the same number."""
    bench.send(driver, "a")
    (late,) = bench.receive(driver, lease=SECOND)
    bench.clock.advance(SECOND)
    assert [False] == lost(bench.settle(driver, Ack(), *bench.receive(driver)))
    bench.send(driver, "b")
    (other,) = bench.receive(driver)
    assert late.lease.receipt.number == other.lease.receipt.number
    assert [True] == lost(bench.settle(driver, Ack(), late))
    assert ["b"] == [id_ for (id_,) in bench.query("SELECT id FROM message")]
    assert [False] == lost(bench.settle(driver, Ack(), other))


def test_a_lease_settles_once(bench, driver):
    """The second settlement of a lease is LeaseLost, after an ack as after a release, in one call as in two."""
    bench.send(driver, "a", "b", "c")
    a, b, c = bench.receive(driver)
    assert [False] == lost(bench.settle(driver, Ack(), a))
    assert [True] == lost(bench.settle(driver, Ack(), a))
    assert [False] == lost(bench.settle(driver, Release(delay=SECOND), b))
    assert [True] == lost(bench.settle(driver, Ack(), b))
    assert [False, True] == lost(bench.settle(driver, Ack(), c, c))
    assert 1 == driver.stats("q").delayed


def test_each_settlement_has_its_own_result(bench, driver):
    """A lost lease among others is reported in its place; the others are carried out."""
    bench.send(driver, "a", "b", "c")
    a, b, c = bench.receive(driver)
    bench.settle(driver, Ack(), b)
    assert [False, True, False] == lost(bench.settle(driver, Ack(), a, b, c))
    assert [] == stored(bench)


def test_a_receipt_of_a_dead_letter_settles_no_message(bench, driver):
    """Both tables count from 1, and a receipt fits its own table only."""
    bench.send(driver, "dies")
    bench.settle(driver, NativeDeadLetter(failure=FAILURE), *bench.receive(driver))
    bench.query("SELECT 1")
    (dead,) = driver.dead_letters("q").take(None, limit=1, lease=SECOND)
    assert isinstance(dead.lease.receipt, DeadReceipt)
    bench.send(driver, "lives")
    (alive,) = bench.receive(driver)
    assert isinstance(alive.lease.receipt, MessageReceipt)
    assert [True] == lost(r.error for r in driver.settle([Final(lease=dead.lease, step=Ack())]))
    assert [True] == lost(r.error for r in driver.dead_letters("q").settle([Final(lease=alive.lease, step=Ack())]))


def test_an_extension_moves_the_end(bench, driver):
    """A lease extended in time ends when the grant says, and settles until then."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=2 * SECOND)
    bench.clock.advance(SECOND)
    (granted,) = driver.extend([delivery.lease], 5 * SECOND)
    assert bench.clock.now() + 5 * SECOND == granted.expires_at
    bench.clock.advance(4 * SECOND)
    assert [] == bench.receive(driver)
    assert [False] == lost(bench.settle(driver, Ack(), delivery))


def test_an_extension_after_a_release_does_not_hide_the_message(bench, driver):
    """An extension that lands after its lease was released is LeaseLost, and the message stays receivable."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver)
    bench.settle(driver, Release(), delivery)
    assert [True] == lost([driver.extend([delivery.lease], 60 * SECOND)[0].error])
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_a_release_keeps_its_failure_and_counts(bench, driver):
    """A counted release uses up an attempt, an uncounted one gives it back; handings-over count either way."""
    bench.send(driver, "a")
    seen = []
    for step in (Release(failure=FAILURE), Release(counted=False), Release()):
        (delivery,) = bench.receive(driver)
        seen.append((delivery.attempt, delivery.deliveries, delivery.failure))
        bench.settle(driver, step, delivery)
    (delivery,) = bench.receive(driver)
    seen.append((delivery.attempt, delivery.deliveries, delivery.failure))
    assert [(1, 1, None), (2, 2, FAILURE), (2, 3, FAILURE), (3, 4, FAILURE)] == seen


def test_a_release_waits_for_its_delay(bench, driver):
    """A released message is hidden for its delay, however long that is."""
    bench.send(driver, "a", "b")
    a, b = bench.receive(driver)
    bench.settle(driver, Release(delay=SECOND), a)
    bench.settle(driver, Release(delay=timedelta.max), b)
    assert [] == bench.receive(driver)
    bench.clock.advance(SECOND)
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_a_lease_is_counted_from_the_receive(bench, driver):
    """The end stated is the present plus what was asked for; the longest possible lease isn't an error."""
    bench.send(driver, "a", "b")
    (a,) = bench.receive(driver, limit=1, lease=SECOND)
    assert bench.clock.now() + SECOND == a.lease.expires_at
    (b,) = bench.receive(driver, limit=1, lease=timedelta.max)
    assert 9999 == b.lease.expires_at.year


def test_the_oldest_ready_messages_come_first(bench, driver):
    """A receive brings those that have been ready for longest, in order, and no more than asked for."""
    bench.send(driver, "late", delay=2 * SECOND)
    bench.send(driver, "a", "b", "c")
    bench.clock.advance(2 * SECOND)
    assert ["a", "b"] == [one.id for one in bench.receive(driver, limit=2)]
    assert ["late", "c"] == [one.id for one in bench.receive(driver, limit=2)]
    assert [] == bench.receive(driver, limit=0)


def test_a_number_is_never_used_twice(bench, driver):
    """After the newest message is gone, a new one gets another number, so that an old receipt can't fit it."""
    bench.send(driver, "a")
    (a,) = bench.receive(driver)
    bench.settle(driver, Ack(), a)
    bench.send(driver, "b")
    (b,) = bench.receive(driver)
    assert a.lease.receipt != b.lease.receipt
    assert [True] == lost(bench.settle(driver, Ack(), a))


def test_more_than_a_statement_holds_is_settled_and_extended(bench, driver):
    """A call for more leases than one statement lists works on all of them."""
    ids = [f"m{n}" for n in range(700)]
    bench.send(driver, *ids)
    deliveries = bench.receive(driver, limit=1000)
    assert ids == [one.id for one in deliveries]
    assert [None] * 700 == [r.error for r in driver.extend([one.lease for one in deliveries], SECOND)]
    assert [None] * 700 == bench.settle(driver, Ack(), *deliveries)
    assert [] == stored(bench)


def test_a_large_body_is_not_written_again_by_its_lease(bench, driver):
    """The first receive, an extension and an ack write a few pages, not the body."""
    bench.send(driver, "a", body=b"x" * 1_000_000)
    log = bench.path.with_name("q.db-wal")
    before = log.stat().st_size
    (delivery,) = bench.receive(driver)
    driver.extend([delivery.lease], 9 * SECOND)
    bench.settle(driver, Ack(), delivery)
    assert log.stat().st_size - before < 200_000


def test_the_first_receive_is_remembered(bench, driver):
    """Each delivery says when the first one was."""
    bench.send(driver, "a")
    first = bench.clock.now()
    seen = []
    for _ in range(3):
        seen += [one.first_received_at for one in bench.receive(driver, lease=SECOND)]
        bench.clock.advance(SECOND)
    assert [first] * 3 == seen
