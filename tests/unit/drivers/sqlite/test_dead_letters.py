"""The dead letters of a queue."""

from datetime import timedelta

import pytest

from cloudq.core import wire
from cloudq.core.driver import Ack, Final, NativeDeadLetter, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.errors import ConfigurationError, LeaseLost

SECOND = timedelta(seconds=1)


@pytest.fixture
def dead(bench, driver):
    """The dead letters of a queue in which a, b and c died, one second apart."""
    for id_ in "abc":
        bench.send(driver, id_)
        failure = Failure(reason=f"{id_} broke", attempts=1)
        assert [None] == bench.settle(driver, NativeDeadLetter(failure=failure), *bench.receive(driver))
        bench.clock.advance(SECOND)
    return driver.dead_letters("q")


def settled(dead, step, *deliveries):
    return [result.error for result in dead.settle([Final(lease=one.lease, step=step) for one in deliveries])]


def ids(letters):
    return [letter.id for letter in letters]


def test_a_dead_letter_keeps_its_body_and_its_reason(bench, dead):
    """The original bytes, the failure and the time are there to be looked at."""
    letter = dead.peek(limit=1)[0]
    assert ("a", "q", b"body of a", None) == (letter.id, letter.queue, letter.body, letter.message)
    assert Failure(reason="a broke", attempts=1) == letter.failure
    assert bench.clock.now() - 3 * SECOND == letter.dead_at


def test_a_dead_letter_says_what_its_body_says(bench, driver):
    """A body that can be decoded comes with its message and the message's id."""
    message = Message(id="m", task="t", queue="q")
    bench.send(driver, "other", body=wire.encode(message))
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *bench.receive(driver))
    (letter,) = driver.dead_letters("q").peek(limit=1)
    assert ("m", message) == (letter.id, letter.message)


def test_dead_letters_are_listed_page_by_page(dead):
    """`peek` lists the oldest first and goes on behind a key, also when that one is gone meanwhile."""
    first = dead.peek(limit=2)
    assert ["a", "b"] == ids(first)
    dead.purge([first[1].key])
    assert ["c"] == ids(dead.peek(limit=2, after=first[1].key))
    assert ["a", "c"] == ids(dead.peek(limit=10))


def test_a_key_finds_its_dead_letter(dead):
    """`get` returns the one of that key; a key of none, or one that can't be a key, has none."""
    letter = dead.peek(limit=2)[1]
    assert letter == dead.get(letter.key)
    assert [None, None, None] == [dead.get(key) for key in ("999", "no key", "-1")]


def test_a_place_that_is_no_key_is_refused(dead):
    """Listing on from what can't be a key says so."""
    with pytest.raises(ConfigurationError, match="isn't the key"):
        dead.peek(limit=1, after="no key")


def test_a_queue_has_only_its_own(bench, driver, dead):
    """Another queue's view doesn't see, find, take or purge them."""
    other = driver.dead_letters("other")
    key = dead.peek(limit=1)[0].key
    assert [] == other.peek(limit=10)
    assert other.get(key) is None
    assert [] == other.take([key], limit=10, lease=SECOND)
    assert 0 == other.purge([key])
    assert 3 == dead.purge(None)


def test_what_is_taken_is_nobody_elses(bench, dead):
    """A taken dead letter isn't taken again before its lease ends; then it is there as before."""
    first = dead.take(None, limit=2, lease=SECOND)
    assert ["a", "b"] == ids(first)
    assert ["c"] == ids(dead.take(None, limit=10, lease=SECOND))
    assert ["a", "b", "c"] == ids(dead.peek(limit=10))
    bench.clock.advance(SECOND)
    assert [LeaseLost, LeaseLost] == [type(error) for error in settled(dead, Ack(), *first)]
    assert ["a", "b", "c"] == ids(dead.take(None, limit=10, lease=SECOND))


def test_those_asked_for_are_taken(dead):
    """`take` with keys leases just those, oldest first, up to the limit, each once."""
    a, b, c = (letter.key for letter in dead.peek(limit=3))
    assert ["b", "c"] == ids(dead.take([c, b, b, "999", "no key"], limit=10, lease=SECOND))
    assert ["a"] == ids(dead.take([a, b, c], limit=1, lease=SECOND))


def test_a_taken_one_says_why_it_died(dead):
    """Its delivery carries the failure and the bytes."""
    (delivery,) = dead.take(None, limit=1, lease=SECOND)
    assert (Failure(reason="a broke", attempts=1), b"body of a") == (delivery.failure, delivery.body)


def test_an_ack_deletes_and_a_release_leaves(driver, dead):
    """After an ack it is gone, after a release it can be taken at once; each settles once."""
    a, b = dead.take(None, limit=2, lease=SECOND)
    assert [None] == settled(dead, Ack(), a)
    assert [None] == settled(dead, Release(delay=60 * SECOND), b)
    assert [LeaseLost, LeaseLost] == [type(error) for error in settled(dead, Ack(), a, b)]
    assert ["b", "c"] == ids(dead.take(None, limit=10, lease=SECOND))
    assert 2 == driver.stats("q").dead


def test_a_purge_counts_what_it_deletes(driver, dead):
    """Those of the keys go, and then all the rest, taken or not."""
    key = dead.peek(limit=1)[0].key
    assert 1 == dead.purge([key, key, "999", "no key"])
    dead.take(None, limit=1, lease=SECOND)
    assert 2 == dead.purge(None)
    assert 0 == driver.stats("q").dead


def test_more_than_a_statement_lists_are_taken_and_purged(bench, driver):
    """Keys without number work: take, settle and purge go through them in portions."""
    bench.send(driver, *(f"m{n}" for n in range(1100)))
    everything = bench.receive(driver, limit=2000)
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *everything)
    dead = driver.dead_letters("q")
    keys = [letter.key for letter in dead.peek(limit=2000)]
    taken = dead.take(keys[:600], limit=600, lease=SECOND)
    assert [None] * 600 == settled(dead, Ack(), *taken)
    assert 500 == dead.purge(keys)
