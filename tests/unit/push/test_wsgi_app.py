"""The edge under WSGI, by itself and in Flask."""

from __future__ import annotations

import io
import socket
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import cloudq
import cloudq.push
from cloudq.push import PushSettings, wsgi_app
from tests.unit.push.fakes import declare, edge_of, push

LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


def test_flask(edge):
    """Mounted below a path, beside the application's own routes."""
    ran = declare(edge.app)
    web = flask.Flask("shop")
    web.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    web.wsgi_app = DispatcherMiddleware(web.wsgi_app, {"/tasks": cloudq.push.wsgi(edge)})  # type: ignore[method-assign]
    client = web.test_client()
    for number, task in enumerate(("t", "async-t")):
        headers, body = push(task, {"n": number}, id=str(number))
        assert 200 == client.post("/tasks/", headers=headers, data=body).status_code
    assert 400 == client.post("/tasks/", data=b"x").status_code
    assert "hello" == client.get("/hello").text
    assert 2 == client.get("/tasks/healthz").json["counts"]["succeeded"]
    assert (200, b"") == ((page := client.head("/tasks/readyz")).status_code, page.data)
    assert 405 == client.get("/tasks/").status_code
    assert 405 == client.put("/tasks/").status_code
    assert [0, 1] == ran


def test_wsgi_answers_to_those_who_are_not_known(backend):
    """As under ASGI: 401 with nothing read."""
    app, driver = backend

    class Never(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("read")

    with edge_of(app, PushSettings()) as edge:
        client = Client(cloudq.push.wsgi(edge))
        response = client.post("/", input_stream=Never(), content_length=10**12)
        assert (401, "Bearer") == (response.status_code, response.headers["WWW-Authenticate"])
    assert [] == driver.decoded


def test_wsgi_bodies_are_bounded(backend, monkeypatch):
    """By the declared length, which must come, or, where the server says that the stream ends, by what comes."""
    app, _ = backend
    ran = declare(app)
    headers, body = push("t", {"n": 1})
    now = [0.0]
    monkeypatch.setattr(wsgi_app, "time", SimpleNamespace(monotonic=lambda: now[0]))
    settings = PushSettings(insecure_no_auth=True, max_body=len(body), body_timeout=timedelta(seconds=60))

    class Slow(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            now[0] += 61
            return super().read(10)

    with edge_of(app, settings) as edge:
        client = Client(cloudq.push.wsgi(edge))
        assert 200 == client.post("/", headers=headers, data=body, environ_base=LOCAL).status_code
        del headers["content-length"]

        def post(stream: io.BytesIO, **environ: Any) -> int:
            made = {"wsgi.input": stream, "CONTENT_LENGTH": "", **LOCAL, **environ}
            return client.post("/", headers=headers, environ_overrides=made).status_code

        assert 200 == post(io.BytesIO(body), **{"wsgi.input_terminated": True})
        assert 413 == post(io.BytesIO(body + b" "), **{"wsgi.input_terminated": True})
        assert 413 == post(io.BytesIO(body), CONTENT_LENGTH=str(len(body) + 1))
        assert 408 == post(Slow(body), CONTENT_LENGTH=str(len(body)))
        assert 400 == post(io.BytesIO(body[:-1]), CONTENT_LENGTH=str(len(body))), "it was cut short"
    assert [1, 1] == ran


def test_a_body_whose_end_is_unknown_is_asked_for_with_a_length(backend):
    """In chunks, under a server that doesn't say where they end: 411. It isn't taken for an empty one, and run."""
    app, _ = backend
    ran: list[str] = []

    @app.task("report")
    def report(month: str = "this month") -> None:
        ran.append(month)

    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "report", "ce-source": "/s"}
    with edge_of(app) as edge:

        def post(headers: dict[str, str], **environ: Any) -> int:
            made = {"wsgi.input": io.BytesIO(b'{"month": "May"}'), "CONTENT_LENGTH": "", **LOCAL, **environ}
            client = Client(cloudq.push.wsgi(edge))
            return client.post(
                "/", headers={"content-type": "application/json", **headers}, environ_overrides=made
            ).status_code

        chunked = {**event, "transfer-encoding": "chunked"}
        assert 411 == post(chunked)
        assert [] == ran
        assert 200 == post(chunked, **{"wsgi.input_terminated": True})
        assert 200 == post({**event, "ce-id": "2"}), "with neither header a request has no body"
    assert ["May", "this month"] == ran


def test_a_cut_connection_under_wsgi(backend):
    """Where the server shows its socket (Werkzeug's, as gunicorn's), the task is told within a moment."""
    from werkzeug.serving import make_server

    app, driver = backend
    started, told = threading.Event(), threading.Event()

    @app.task("t")
    def task(context: cloudq.Context) -> None:
        started.set()
        assert context.lease_lost.wait(60)
        told.set()

    with edge_of(app) as edge:
        server = make_server("127.0.0.1", 0, cloudq.push.wsgi(edge), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            headers, body = push("t")
            lines = [f"{name}: {value}" for name, value in {"host": "localhost", **headers}.items()]
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as raw:
                raw.sendall("\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body)
                assert started.wait(60)
                assert not told.wait(0.3)
            assert told.wait(60)
        finally:
            server.shutdown()
            thread.join(60)
            server.server_close()
    assert [] == driver.sent
