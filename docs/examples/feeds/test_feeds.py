"""The feeds of sites that a test has made up: no site is asked, and no worker is needed."""

from __future__ import annotations

from collections.abc import Iterator

import feeds
import pytest
from feeds import reading, tasks
from flask.testing import FlaskClient

import cloudq
from cloudq.testing import run_all

FEED = (
    b"<rss><channel><title>Sea</title><item><guid>1</guid><title>Tide</title><link>/tide</link></item></channel></rss>"
)


@pytest.fixture
def client(cloudq_app: cloudq.App) -> Iterator[FlaskClient]:
    web = feeds.create_app(SQLALCHEMY_DATABASE_URI="sqlite://")
    with web.app_context():
        feeds.db.create_all()
    yield web.test_client()
    with web.app_context():
        feeds.db.engine.dispose()


def test_a_feed_is_read_after_it_was_added(
    client: FlaskClient, cloudq_app: cloudq.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "fetch", lambda url, etag: reading.parse(FEED, '"v1"'))
    for _ in range(2):  # read twice, kept once
        assert client.post("/feeds", json={"url": "http://sea.example/rss"}).status_code == 202
    run_all(cloudq_app, raise_errors=True)
    [entry] = client.get("/entries").json or []
    assert (entry["feed"], entry["title"]) == ("Sea", "Tide")


def test_a_site_that_is_away_is_asked_again(
    client: FlaskClient, cloudq_app: cloudq.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([OSError("no route"), reading.parse(FEED)])

    def fetch(url: str, etag: str | None) -> reading.Document:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(tasks, "fetch", fetch)
    client.post("/feeds", json={"url": "http://sea.example/rss"})
    report = run_all(cloudq_app)
    assert [type(error) for error in report.errors] == [OSError]
    assert len(client.get("/entries").json or []) == 1


def test_what_is_no_feed_is_a_dead_letter(
    client: FlaskClient, cloudq_app: cloudq.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "fetch", lambda url, etag: reading.parse(b"<html></html>"))
    client.post("/feeds", json={"url": "http://sea.example/about"})
    [dead] = run_all(cloudq_app).dead_letters
    assert dead.failure is not None
    assert "no feed" in dead.failure.reason


def test_another_kind_of_address_is_refused(client: FlaskClient, cloudq_app: cloudq.App) -> None:
    assert client.post("/feeds", json={"url": "file:///etc/hosts"}).status_code == 422
