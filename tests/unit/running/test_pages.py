"""What the health pages answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cloudq.errors import ConfigurationError
from cloudq.running.events import Snapshot
from cloudq.running.pages import HealthServer, Page

ANY_PORT = ("127.0.0.1", 0)


class Told:
    """Pages that say what the test has them say."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def healthz(self) -> Page:
        return Page(ok=not self.problems, problems=self.problems, queues={"q": "polling"}, counts=Snapshot(started=2))

    def readyz(self) -> Page:
        return Page(ok=False, problems=["stopping"], queues={}, counts=Snapshot())


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[HealthServer]:
    made = HealthServer(ANY_PORT, told)
    made.start()
    yield made
    made.stop()


def get(server: HealthServer, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert "application/json" == response.getheader("Content-Type")
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_page_says_whether_all_is_well_and_why_not(server: HealthServer, told: Told) -> None:
    """200 or 503, with problems, queues and counts."""
    status, page = get(server, "/healthz")
    assert (200, True, []) == (status, page["ok"], page["problems"])
    assert ({"q": "polling"}, 2) == (page["queues"], page["counts"]["started"])
    told.problems.append("no thread can be started")
    status, page = get(server, "/healthz")
    assert (503, False, ["no thread can be started"]) == (status, page["ok"], page["problems"])
    status, page = get(server, "/readyz")
    assert (503, ["stopping"]) == (status, page["problems"])


def test_there_are_no_other_pages(server: HealthServer) -> None:
    """The answer says which there are."""
    assert (404, {"error": "there are /healthz and /readyz"}) == get(server, "/metrics")


def test_a_port_in_use_is_a_configuration_error(server: HealthServer, told: Told) -> None:
    """Which says what was to be served there."""
    with pytest.raises(ConfigurationError, match=r"the health pages can't be served on 127\.0\.0\.1:"):
        HealthServer(server.address, told)
