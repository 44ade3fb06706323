"""The Cloud Run service that queues push to, on a server that answers as its API does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from cloudq.cli.doctor.fault import Finding, Unchecked
from cloudq.cli.doctor.looks_at_google import ENDPOINT, CloudRun
from cloudq.cli.queue_needs import Cloud
from tests.unit.cli.doctor.test_queue_law import NEEDS, looked

HOST = "worker-123.europe-west1.run.app"
LONG = looked(Cloud.GOOGLE, needs=replace(NEEDS, limits={"shop.welcome": timedelta(minutes=20)}))


class Api:
    """The services of one place, one a page."""

    def __init__(self) -> None:
        self.services: list[dict[str, Any]] = []
        self.status = 200
        self.paths: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                api.paths.append(url.path)
                place = int(parse_qs(url.query).get("pageToken", ["0"])[0] or 0)
                more = {"nextPageToken": str(place + 1)} if place + 1 < len(api.services) else {}
                body = json.dumps({"services": api.services[place : place + 1], **more}).encode()
                self.send_response(api.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api()
    monkeypatch.setenv(ENDPOINT, made.url)
    yield made
    made.close()


def service(timeout: str | None, host: str = HOST) -> dict[str, Any]:
    template = {} if timeout is None else {"timeout": timeout}
    return {"name": "x", "uri": "https://x-hash-ew.a.run.app", "urls": [f"https://{host}"], "template": template}


def run(target: str = f"https://{HOST}/push") -> CloudRun:
    return CloudRun(SimpleNamespace(url=f"cloudtasks://shop/europe-west3?target={target}"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("timeout", "short"), [("300s", True), (None, True), ("1800s", False), ("1200.5s", True)])
def test_a_service_that_ends_a_request_too_early_is_found(api: Api, timeout: str | None, short: bool) -> None:
    """Among others, by its address; what doesn't say has five minutes."""
    api.services = [service("3600s", "other-1.europe-west1.run.app"), service(timeout)]
    found = list(run().findings(LONG))
    assert short is bool(found)
    if short:
        assert isinstance(found[0], Finding)
        assert "request-timeout" == found[0].fault.id
    assert {"/v2/projects/shop/locations/europe-west1/services"} == set(api.paths)


def test_it_is_asked_once(api: Api) -> None:
    """For all queues of the app."""
    api.services = [service("3600s")]
    one = run()
    for _ in range(3):
        assert [] == list(one.findings(LONG))
    assert 1 == len(api.paths)


def test_an_older_address_names_no_region(api: Api) -> None:
    """So the service is looked for where the queues are."""
    api.services = [service("3600s")]
    assert [] == list(run("https://x-hash-ew.a.run.app").findings(LONG))
    assert ["/v2/projects/shop/locations/europe-west3/services"] == api.paths


@pytest.mark.parametrize(
    ("status", "why"), [(403, "it takes the permission run.services.list"), (500, "HTTPError"), (200, "no service of ")]
)
def test_what_is_not_known_is_said(api: Api, status: int, why: str) -> None:
    """With the permission that it takes, what went wrong, or that it isn't there."""
    api.status = status
    (unchecked,) = run().findings(LONG)
    assert isinstance(unchecked, Unchecked)
    assert why in unchecked.why


@pytest.mark.parametrize("target", ["https://worker.example/", "http://127.0.0.1:8080"])
def test_what_is_not_cloud_runs_own_address_is_not_looked_for(api: Api, target: str) -> None:
    """Nobody could tell which service that is."""
    assert [] == list(run(target).findings(LONG))
    assert [] == api.paths


def test_nothing_is_asked_beside_an_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pushes to this machine, and there are no credentials."""
    monkeypatch.delenv(ENDPOINT, raising=False)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")
    assert [] == list(run().findings(LONG))


def test_another_machine_without_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said, and nothing is sent there."""
    monkeypatch.setenv(ENDPOINT, "http://run.example")
    (unchecked,) = run().findings(LONG)
    assert isinstance(unchecked, Unchecked)
    assert "without TLS" in unchecked.why
