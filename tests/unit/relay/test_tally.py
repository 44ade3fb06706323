"""A relay's counts, as a log line says them."""

from __future__ import annotations

from cloudq.relay.tally import Counts, Tally


def test_counts() -> None:
    """What was added, and what was added since."""
    tally = Tally()
    tally.add(published=3, in_hand=2)
    before = tally.counts()
    tally.add(published=1, failed=2, parked=1, late=4, in_hand=-1)

    assert Counts(published=4, failed=2, parked=1, late=4, in_hand=1) == tally.counts()
    assert Counts(published=1, failed=2, parked=1, late=4, in_hand=1) == tally.counts().since(before)


def test_text() -> None:
    """Only what there is."""
    assert "3 published" == str(Counts(published=3, in_hand=9))
    assert "0 published, 2 tried again, 1 parked, 4 late" == str(Counts(failed=2, parked=1, late=4))
