"""`/healthz` and `/readyz` of a process that is pushed to."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.push import PushEdge
from cloudq.push.pages import PushPages
from tests.unit.push.fakes import edge_of


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
    verifier = SimpleNamespace(certificates=SimpleNamespace(failing=True))
    monkeypatch.setattr(edge, "verifier", verifier)
    assert (200, []) == said(edge, "/healthz")
    assert (503, ["the certificates can't be fetched"]) == said(edge, "/readyz")


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
