"""What one process has open of a file."""

from datetime import timedelta

import pytest

SECOND = timedelta(seconds=1)


@pytest.fixture
def looks(driver, monkeypatch):
    """How often a receive looked before it asked for the write lock."""
    seen = []
    database = driver._session.database
    read = database.read
    monkeypatch.setattr(database, "read", lambda work: (seen.append(work), read(work))[1])
    driver._session._next_look["q"] = timedelta(days=1)  # for leases of other boots, which isn't what is counted here
    return seen


def test_a_queue_that_gave_all_that_was_asked_for_is_not_looked_at_first(bench, driver, looks):
    """There is likely to be more; the first receive that gets less looks again before the next."""
    bench.send(driver, *"abc")
    counts = []
    for _ in range(5):
        bench.receive(driver, limit=2)
        counts.append(len(looks))
    assert [1, 1, 2, 3, 4] == counts


def test_a_lease_that_ended_is_found_without_a_look(bench, driver, looks):
    """Where a receive goes straight to the write lock, it sees to ended leases as well."""
    bench.send(driver, "a", "b")
    bench.receive(driver, limit=1, lease=SECOND)
    bench.clock.advance(SECOND)
    assert ["b", "a"] == [one.id for _ in range(2) for one in bench.receive(driver, limit=1)]
    assert 1 == len(looks)
