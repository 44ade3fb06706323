"""What lies beside a body in headers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.core.failure import Failure
from cloudq.drivers.cloud_tasks import headers

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
failures = st.builds(
    Failure,
    reason=texts,
    error_type=st.none() | texts,
    error_message=st.none() | texts,
    traceback=st.none() | texts,
    attempts=st.integers(0, 99),
    first_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    generation=st.integers(0, 99),
)


@settings(deadline=None)
@given(failures)
def test_a_failure_comes_back_as_it_was(failure):
    """In characters that every server and proxy lets pass: no line break, no control character, plain ASCII."""
    text = headers.failure_text(failure, 16 * 1024)
    assert re.fullmatch(r"[ -~]+", text)
    assert headers.failure_of({headers.FAILURE: text}) == failure


@settings(deadline=None)
@given(failures, st.integers(1_000, 6_000))
def test_a_failure_is_cut_to_fit(failure, most):
    """The traceback goes first, and of it the beginning; counts and times stay."""
    large = Failure(
        reason=failure.reason,
        error_message="\N{SNOWMAN}" * 1_000,
        traceback="x" * 3_000 + "\N{PILE OF POO}" * 1_000 + "the end",
        attempts=failure.attempts,
        generation=failure.generation,
    )
    text = headers.failure_text(large, most)
    assert len(text) <= most
    kept = headers.failure_of({headers.FAILURE: text})
    assert (kept.attempts, kept.generation) == (large.attempts, large.generation)
    assert kept.traceback is None or large.traceback.endswith(kept.traceback)


def test_what_cannot_be_read_is_said():
    """Somebody else's header of that name doesn't keep the message from being seen."""
    failure = headers.failure_of({headers.FAILURE: "{"})
    assert "can't be read" in failure.reason
    assert headers.failure_of({}) is None


@pytest.mark.parametrize("name", ["Cloudq-Deadline", "cloudq-deadline", "CLOUDQ-DEADLINE"])
def test_names_of_headers_have_no_case(name):
    """A proxy may change it."""
    assert timedelta(seconds=330) == headers.deadline_of({name: "330"})


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "14.9", "1801", "1e99"])
def test_a_deadline_that_is_none_is_the_service_s_own(text):
    """Nobody gets more time than the service waits by default because of a header that it can't have written."""
    assert timedelta(minutes=10) == headers.deadline_of({headers.DEADLINE: text})


def test_a_deadline_comes_back_as_it_was():
    """To the part of a second."""
    stored = headers.stored(timedelta(seconds=17.5))
    assert timedelta(seconds=17.5) == headers.deadline_of(stored)
    assert "application/cloudevents+json" == stored["Content-Type"]


def test_a_time_of_death_comes_back_as_it_was():
    """To the microsecond; what is no time is none."""
    died = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
    assert died == headers.dead_at_of({headers.DEAD_AT: headers.dead_at_text(died)})
    assert [None] * 4 == [headers.dead_at_of({headers.DEAD_AT: text}) for text in ("", "x", "-5", "9" * 18)]
