"""What this process knows of a lease: held, being deleted or released, settled."""

from __future__ import annotations

from datetime import timedelta

from cloudq.drivers.sqs.receipts import Receipt, State


def receipt() -> Receipt:
    return Receipt("url", "handle", since=timedelta(0), ends=timedelta(seconds=60), hard_end=timedelta(hours=12))


def test_one_settlement_at_a_time() -> None:
    """Whoever takes it first settles; given back, the next one may."""
    one = receipt()
    assert State.HELD is one.state
    assert one.take(State.DELETING)
    assert not one.take(State.RELEASING)
    assert State.DELETING is one.state
    one.give_back()
    assert one.take(State.RELEASING)
    assert State.RELEASING is one.state


def test_what_is_confirmed_stays_settled() -> None:
    """Giving it back changes nothing any more."""
    one = receipt()
    assert one.take(State.DELETING)
    one.confirm()
    one.give_back()
    assert State.SETTLED is one.state
    assert not one.take(State.DELETING)


def test_a_lease_is_over_at_its_end() -> None:
    """Not before; an extension moves it."""
    one = receipt()
    assert not one.over(timedelta(seconds=59))
    assert one.over(timedelta(seconds=60))
    one.ends = timedelta(seconds=90)
    assert not one.over(timedelta(seconds=60))
