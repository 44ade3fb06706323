"""What is answered to who is refused, and what the log says of it."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest

from cloudq.push.refusals import ERROR, HttpRefusal, RefusalLog
from cloudq.testing.clock import FakeClock


@pytest.mark.parametrize(
    ("status", "said"), [(400, "no push"), (429, "no push"), (401, "Unauthorized"), (403, "Forbidden")]
)
def test_who_may_not_push_is_told_nothing(status, said):
    """What they got wrong is for the log; all others are told the reason."""
    response = HttpRefusal(status, "no push", headers={"Retry-After": "1"}).response()
    assert (status, {"error": said}) == (response.status, json.loads(response.body))
    assert {"Content-Type": "application/json", "Retry-After": "1"} == dict(response.headers)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_one_line_a_minute_of_each_status(caplog):
    """With how many were left out since; another status has lines of its own."""
    clock = FakeClock()
    log = RefusalLog(clock)
    for _ in range(3):
        log.log(HttpRefusal(400, "first"))
    log.log(HttpRefusal(503, "other"))
    clock.advance(timedelta(seconds=59))
    log.log(HttpRefusal(400, "second"))
    clock.advance(timedelta(seconds=1))
    log.log(HttpRefusal(400, "third"))
    first, other, third = lines(caplog)
    assert "400: first" in first
    assert "503: other" in other
    assert "400: third (and 3 more" in third


@pytest.mark.parametrize("hour", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_minute_is_a_minute(caplog, hour):
    """Whatever the clock is set to meanwhile."""
    clock = FakeClock()
    log = RefusalLog(clock)
    log.log(HttpRefusal(400, "first"))
    clock.step(hour)
    log.log(HttpRefusal(400, "left out"))
    assert 1 == len(lines(caplog))
    clock.advance(timedelta(minutes=1))
    log.log(HttpRefusal(400, "second"))
    assert 2 == len(lines(caplog))


def test_an_error_of_ours_is_no_refusal(caplog):
    """It is logged with its traceback each time, and says nothing to whoever pushed but that it comes again."""
    log = RefusalLog(FakeClock())
    for _ in range(2):
        assert ERROR is log.answer_to(ValueError("surprise"))
    assert 2 == sum("surprise" in str(record.exc_info) for record in caplog.records)
    assert 500 == ERROR.status
    assert b"surprise" not in ERROR.body
    assert 429 == log.answer_to(HttpRefusal(429, "later")).status
