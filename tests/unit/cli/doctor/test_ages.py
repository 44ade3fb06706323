"""Clocks and ages, each planted at its bound."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.cli.doctor.ages import keys_forgotten, nearly_expired, skewed
from cloudq.cli.doctor.fault import Where
from cloudq.cli.queue_needs import Cloud
from cloudq.running.claims import KEEP, kept_for
from tests.unit.cli.doctor.test_queue_law import BUS, SQS, looked

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (None, None),
        (10 * SECOND, None),
        (-10 * SECOND, None),
        (11 * SECOND, "this machine's clock is 11 seconds ahead of the service's"),
        (-5 * 60 * SECOND, "this machine's clock is 5 minutes behind the service's"),
    ],
)
def test_a_clock_that_is_off(ahead, words):
    """By more than ten seconds, either way."""
    found = list(skewed(looked(Cloud.AWS, settings=replace(SQS, ahead=ahead))))
    assert [finding.what for finding in found] == ([] if words is None else [words])
    assert all(finding.fault.id == "clock-off" for finding in found)


@pytest.mark.parametrize(("days", "is_found"), [(9.7, False), (9.8, True)])
def test_a_message_that_nearly_expires(days, is_found):
    """From three quarters of the queue's own retention on, which is 13 days here."""
    found = list(nearly_expired(looked(Cloud.AWS), days * DAY))
    assert [finding.fault.id for finding in found] == (["nearly-expired"] if is_found else [])


def test_where_nothing_expires_or_nothing_is_known():
    """A queue that keeps messages without end; an age that nobody told."""
    assert [] == list(nearly_expired(looked(Cloud.AZURE), 1000 * DAY))
    assert [] == list(nearly_expired(looked(Cloud.AWS), None))


@pytest.mark.parametrize(("days", "is_found"), [(KEEP.days, False), (KEEP.days + 1, True)])
def test_messages_that_come_after_their_keys_are_forgotten(days, is_found):
    """Of a queue of Service Bus whose messages live for longer than records are kept there."""
    one = looked(Cloud.AZURE, settings=replace(BUS, retention=days * DAY))
    found = list(keys_forgotten("mail", one, None, "shop.welcome"))
    assert [finding.fault.id for finding in found] == (["keys-forgotten"] if is_found else [])
    assert all(f"--default-message-time-to-live P{KEEP.days}D" in finding.command for finding in found)
    assert [] == list(keys_forgotten("mail", one, None, None)), "no task has a key"


@pytest.mark.parametrize(("days", "is_found"), [(KEEP.days, False), (KEEP.days + 1, True)])
def test_where_messages_are_kept_without_end_the_oldest_counts(days, is_found):
    """As on SQLite."""
    found = list(keys_forgotten("mail", None, days * DAY, "shop.welcome"))
    assert [(finding.fault.id, finding.where) for finding in found] == (
        [("keys-forgotten", Where.SQLITE)] if is_found else []
    )
    assert all("cloudq purge mail" in finding.command for finding in found)


def test_a_record_is_kept_twice_as_long_as_a_message():
    """Where the service says how long that is: so no queue of SQS or Cloud Tasks has that fault."""
    assert 28 * DAY == kept_for(14 * DAY)
    assert [] == list(keys_forgotten("mail", looked(Cloud.AWS), None, "shop.welcome"))
