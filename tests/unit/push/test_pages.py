"""`/healthz` and `/readyz` of a process that is pushed to."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.push import PushEdge, PushSettings
from cloudq.push.pages import PushPages
from cloudq.testing.clock import FakeClock
from tests.unit.push.fakes import certificates_of, edge_of, push, pushed, token
from tests.unit.worker.fakes import until

UNVERIFIABLE = "the certificates can't be fetched, and no sender can be verified"


@pytest.fixture
def edge(backend):
    app, _ = backend
    with edge_of(app) as edge:
        edge.open()
        yield edge


def said(edge: PushEdge, path: str) -> tuple[int, list[str]]:
    response = PushPages(edge).get(path)
    page: Any = json.loads(response.body)
    assert page["ok"] == (response.status == 200)
    return response.status, page["problems"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/tasks/healthz", "/tasks/readyz/", "healthz"])
def test_all_is_well(edge, path):
    """Whatever it is mounted under."""
    assert (200, []) == said(edge, path)


@pytest.mark.parametrize("path", ["", "/", "/healthz/x", "/health", "/tasks/"])
def test_other_paths_take_pushes_only(edge, path):
    """And say so."""
    response = PushPages(edge).get(path)
    assert (405, "POST") == (response.status, response.headers["Allow"])


def test_a_stopping_worker_is_healthy_and_not_ready(edge):
    """It isn't started again for that, and isn't sent anything more."""
    edge.stop()
    assert (200, []) == said(edge, "/healthz")
    assert (503, ["stopping"]) == said(edge, "/readyz")


def test_what_makes_it_unready(edge, monkeypatch):
    """Certificates that can't be fetched: another process could have them."""
    verifier = SimpleNamespace(certificates=SimpleNamespace(check=lambda: False))
    monkeypatch.setattr(edge, "verifier", verifier)
    assert (200, []) == said(edge, "/healthz")
    assert (503, [UNVERIFIABLE]) == said(edge, "/readyz")


def test_it_is_ready_again_without_a_push():
    """After an outage the page alone has the certificates fetched, as whoever obeys it sends no push."""
    clock = FakeClock()
    with certificates_of("a") as server, pushed(clock=clock) as (app, _):
        settings = PushSettings(certificates_url=server.url)
        with edge_of(app, settings) as edge:
            server.status = 500
            headers, body = push(token=token())
            assert 503 == edge.handle(headers, lambda: body).status
            assert (503, [UNVERIFIABLE]) == said(edge, "/readyz")
            server.status = 200
            clock.advance(timedelta(seconds=2))
            said(edge, "/readyz")
            until(lambda: (200, []) == said(edge, "/readyz"))


def test_what_makes_it_sick(edge, monkeypatch):
    """A watch that has ended, and slots that are all held by tasks whose time is over; it isn't ready then either."""
    monkeypatch.setattr(type(edge), "watched", property(lambda _: False))
    monkeypatch.setattr(type(edge.admission), "stuck", property(lambda _: True))
    problems = [
        "leases aren't watched any more",
        "every slot is held by a task whose time is over",
    ]
    assert (503, problems) == said(edge, "/healthz")
    assert (503, problems) == said(edge, "/readyz")


def test_a_page_holds_the_counts(edge):
    """And is kept by nobody in between."""
    response = PushPages(edge).get("/healthz")
    page = json.loads(response.body)
    assert ({}, 0) == (page["queues"], page["counts"]["started"])
    assert "no-store" == response.headers["Cache-Control"]


def test_metrics_and_page_say_the_same(edge, monkeypatch):
    """Certificates that can't be fetched, and a store that is down, which alone keeps no push out."""
    pages = PushPages(edge)
    standing = pages.standing()
    assert (True, edge.settings.concurrency) == (standing.ready, standing.slots)
    assert {("certificates", False), ("store", False)} == {(one.kind, one.now) for one in standing.failing}
    monkeypatch.setattr(edge, "verifier", SimpleNamespace(certificates=SimpleNamespace(check=lambda: False)))
    monkeypatch.setattr(edge._life.runner, "_processor", SimpleNamespace(store_watch=SimpleNamespace(is_down=True)))
    standing = pages.standing()
    assert not standing.ready
    assert {("certificates", True), ("store", True)} == {(one.kind, one.now) for one in standing.failing}
