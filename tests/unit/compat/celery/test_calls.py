"""The options of a call, in cloudq's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cloudq.compat.celery.calls import send_options, zone_of
from cloudq.compat.celery.settings import Settings
from cloudq.errors import OptionError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def made(**options):
    settings = Settings()
    settings["timezone"] = "Europe/Berlin"
    return send_options("t", options, settings, NOW)


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({}, {}),
        ({"countdown": None, "eta": None, "expires": None}, {}),
        ({"countdown": 90}, {"delay": timedelta(seconds=90)}),
        ({"countdown": 0.5}, {"delay": timedelta(milliseconds=500)}),
        ({"countdown": 0}, {}),
        ({"eta": datetime(2026, 2, 1, tzinfo=UTC)}, {"at": datetime(2026, 2, 1, tzinfo=UTC)}),
        ({"eta": datetime(2026, 2, 1)}, {"at": datetime(2026, 2, 1, tzinfo=BERLIN)}),  # noqa: DTZ001 - naive, on purpose
        ({"eta": "2026-02-01T00:00:00+00:00"}, {"at": datetime(2026, 2, 1, tzinfo=UTC)}),
        ({"expires": 60}, {"expires": NOW + timedelta(minutes=1)}),
        ({"expires": timedelta(hours=1)}, {"expires": NOW + timedelta(hours=1)}),
        ({"countdown": 30, "expires": 60}, {"delay": timedelta(seconds=30), "expires": NOW + timedelta(minutes=1)}),
        ({"expires": datetime(2026, 2, 1, tzinfo=UTC)}, {"expires": datetime(2026, 2, 1, tzinfo=UTC)}),
        ({"queue": "mail"}, {"queue": "mail"}),
        ({"priority": 9}, {"priority": "9"}),
        ({"MessageGroupId": "tenant"}, {"fairness_key": "tenant"}),
        ({"MessageGroupId": "7", "queue": "a.fifo"}, {"queue": "a.fifo", "ordering_key": "7"}),
        ({"retries": 2}, {"headers": {"celery-retries": "2"}}),
        ({"headers": {"tenant": "a"}, "retries": 0}, {"headers": {"tenant": "a"}}),
        ({"retry": True, "serializer": "json", "add_to_parent": True}, {}),
    ],
)
def test_an_option_means_the_same_here(options, ours) -> None:
    """Seconds are spans, a moment without a zone is in the app's, and `expires` counts from the send."""
    assert ours == made(**options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"countdown": 5, "eta": NOW}, "countdown and eta exclude each other"),
        ({"countdown": "soon"}, "countdown is a number of seconds"),
        ({"eta": "soon"}, "is no moment"),
        ({"eta": 5}, "is no moment"),
        ({"queue": object()}, "queue is a name, not object"),
        ({"link": "t"}, "'link' can't be honoured"),
        ({"retry": False}, "'retry' can't be honoured"),
        ({"colour": "red"}, "no option 'colour'"),
    ],
)
def test_what_means_nothing_here_is_refused(options, what) -> None:
    """Before anything is stored."""
    with pytest.raises(OptionError, match=what):
        made(**options)


def test_a_zone_is_utc_a_name_or_a_zone() -> None:
    """As with Celery."""
    settings = Settings()
    assert zone_of(settings) is UTC
    settings.timezone = BERLIN
    assert zone_of(settings) is BERLIN
