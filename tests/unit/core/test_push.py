"""A push and its answer, as values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cloudq.core.push import PushRequest, PushResponse


def test_a_log_shows_neither_token_nor_body() -> None:
    """The headers hold who sent it, as a token that others could use."""
    request = PushRequest(
        headers={"authorization": "Bearer secret"},
        body=b"private",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        received=timedelta(seconds=1),
    )
    assert "PushRequest(bytes=7)" == repr(request) == str(request)


def test_an_answer_needs_no_more_than_its_status() -> None:
    """Most are empty; the default isn't shared state that somebody could fill."""
    answer = PushResponse(status=200)
    assert ({}, b"") == (dict(answer.headers), answer.body)
