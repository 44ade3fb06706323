"""The edge in FastAPI, Starlette, Flask and Django, each with the real framework."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import fastapi
import flask
import httpx
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import cloudq
import cloudq.push
from cloudq import App
from cloudq.push import PushEdge, PushSettings
from tests.unit.push.fakes import OPEN, Gate, PushedDriver, edge_of, push

HERE = ("127.0.0.1", 50000)
LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.fixture
def edge(backend: tuple[App, PushedDriver]) -> Iterator[PushEdge]:
    app, _ = backend
    with edge_of(app) as made:
        yield made


def declare(app: App, name: str = "t") -> list[object]:
    ran: list[object] = []

    @app.task(name)
    def task(n: int) -> None:
        ran.append(n)

    @app.task(f"async-{name}")
    async def asynchronous(n: int) -> None:
        await asyncio.sleep(0)
        ran.append(n)

    return ran


def posted(asgi: Any, headers: dict[str, str], body: bytes, path: str = "/", **more: Any) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(asgi, client=more.pop("client", HERE))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(more.pop("method", "POST"), path, headers=headers, content=body, **more)

    return asyncio.run(post())


def test_fastapi(backend, edge):
    """Mounted below a path, beside the application's own routes, which stay as they are."""
    ran = declare(edge.app)
    web = fastapi.FastAPI()

    @web.get("/hello")
    def hello() -> str:
        return "hello"

    web.mount("/tasks", cloudq.push.asgi(edge))
    assert 200 == posted(web, *push("t", {"n": 1}, id="1"), path="/tasks/").status_code
    assert 200 == posted(web, *push("async-t", {"n": 2}, id="2"), path="/tasks/anything").status_code
    assert 400 == posted(web, {}, b"x", path="/tasks/").status_code
    assert "hello" == posted(web, {}, b"", path="/hello", method="GET").json()
    page = posted(web, {}, b"", path="/tasks/healthz", method="GET")
    assert (200, True, 2) == (page.status_code, page.json()["ok"], page.json()["counts"]["acked"])
    assert [1, 2] == ran


def test_async_tasks_run_on_the_servers_loop(edge):
    """So that they share what belongs to it, a pool of connections say."""
    loops = []

    @edge.app.task("t")
    async def task() -> None:
        loops.append(asyncio.get_running_loop())

    async def run() -> None:
        transport = httpx.ASGITransport(cloudq.push.asgi(edge), client=HERE)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers, body = push("t")
            assert 200 == (await client.post("/", headers=headers, content=body)).status_code
        assert [asyncio.get_running_loop()] == loops

    asyncio.run(run())


def test_asgi_methods_and_pages(edge):
    """Only POST is a push; the pages are had by GET and HEAD, without a token."""
    app = cloudq.push.asgi(edge)
    assert 405 == posted(app, {}, b"", method="GET").status_code
    assert 405 == posted(app, {}, b"", method="PUT").status_code
    assert 200 == posted(app, {}, b"", path="/healthz", method="GET").status_code
    head = posted(app, {}, b"", path="/readyz", method="HEAD")
    assert (200, b"") == (head.status_code, head.content)
    edge.stop()
    ready = posted(app, {}, b"", path="/readyz", method="GET")
    assert (503, ["stopping"]) == (ready.status_code, ready.json()["problems"])
    assert 200 == posted(app, {}, b"", path="/healthz", method="GET").status_code


def test_pages_tell_what_is_wrong(edge):
    """If all slots are held by tasks whose time is over, the process should be started again."""
    gate = Gate()

    @edge.app.task("t")
    def task(name: str) -> None:
        gate(name)

    with edge_of(edge.app, PushSettings(insecure_no_auth=True, concurrency=1)) as full, ThreadPoolExecutor(1) as pool:
        app = cloudq.push.asgi(full)
        answer = pool.submit(posted, app, *push("t", {"name": "1"}))
        gate.wait_started()
        assert 200 == posted(app, {}, b"", path="/healthz", method="GET").status_code
        full.admission.give_up()
        page = posted(app, {}, b"", path="/healthz", method="GET")
        assert (503, ["every slot is held by a task whose time is over"]) == (page.status_code, page.json()["problems"])
        gate.goes_on.set()
        assert 500 == answer.result(10).status_code


@pytest.mark.parametrize("client", [("10.0.0.1", 1), ("::2", 1), None])
def test_without_tokens_only_this_machine(edge, client, monkeypatch):
    """With `insecure_no_auth` a request from elsewhere is refused, wherever the application listens."""
    ran = declare(edge.app)
    headers, body = push("t", {"n": 1})
    assert 403 == posted(cloudq.push.asgi(edge), headers, body, client=client).status_code
    wsgi = Client(cloudq.push.wsgi(edge))
    elsewhere = {} if client is None else {"REMOTE_ADDR": client[0]}
    assert 403 == wsgi.post("/", headers=headers, data=body, environ_overrides=elsewhere).status_code
    assert [] == ran


def scope(headers: dict[str, str]) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": raw, "client": HERE}


def answered(app: Any, headers: dict[str, str], receive: Any) -> tuple[int, int]:
    """Status, and how often the body was asked for."""
    sent: list[Any] = []
    asked = 0

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await receive()

    async def send(event: Any) -> None:
        sent.append(event)

    asyncio.run(app(scope(headers), counted, send))
    return sent[0]["status"], asked


def test_asgi_bodies_are_bounded(backend):
    """A body without a declared length is counted while it comes; one that doesn't come is 408; who hangs up, 400."""
    app, driver = backend
    settings = PushSettings(insecure_no_auth=True, max_body=100, body_timeout=timedelta(milliseconds=20))
    with edge_of(app, settings) as edge:
        asgi = cloudq.push.asgi(edge)
        headers, _ = push("t")
        del headers["content-length"]

        async def endless() -> Any:
            return {"type": "http.request", "body": b"x" * 60, "more_body": True}

        async def silent() -> Any:
            await asyncio.sleep(20)

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        assert (413, 2) == answered(asgi, headers, endless)
        assert (408, 1) == answered(asgi, headers, silent)
        assert (400, 1) == answered(asgi, headers, gone)
        assert (413, 0) == answered(asgi, {**headers, "content-length": "101"}, endless)
    assert [] == driver.decoded


def test_no_body_is_asked_for_without_a_token(backend):
    """Of a request whose sender isn't known nothing more is read, however large it is."""
    app, driver = backend
    with edge_of(app, PushSettings()) as edge:

        async def never() -> Any:
            raise AssertionError("read")

        assert (401, 0) == answered(cloudq.push.asgi(edge), {"content-length": "9" * 12}, never)
        assert (401, 0) == answered(cloudq.push.asgi(edge), {"transfer-encoding": "chunked"}, never)
    assert [] == driver.decoded


def test_asgi_start_and_end(backend):
    """Served by itself, what is wrong with the settings is said at the start; at the end it takes nothing more."""
    app, _ = backend

    async def lifespan(asgi: Any) -> list[str]:
        events = iter(["lifespan.startup", "lifespan.shutdown"])
        said: list[str] = []

        async def receive() -> Any:
            return {"type": next(events)}

        async def send(event: Any) -> None:
            said.append(event["type"])

        await asgi({"type": "lifespan"}, receive, send)
        return said

    with edge_of(app) as edge:
        assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == asyncio.run(
            lifespan(cloudq.push.asgi(edge))
        )
        assert edge.admission.closed
    nobody = PushSettings(service_accounts=[])
    with edge_of(app, nobody) as edge:
        assert ["lifespan.startup.failed"] == asyncio.run(lifespan(cloudq.push.asgi(edge)))


def test_asgi_takes_no_websocket(edge):
    """It is closed."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    asyncio.run(cloudq.push.asgi(edge)({"type": "websocket"}, None, send))
    assert "websocket.close" == sent[0]["type"]


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
    assert 2 == client.get("/tasks/healthz").json["counts"]["acked"]
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


def test_wsgi_bodies_are_bounded(backend):
    """By the declared length, or, where the server says that the stream ends, by what comes; slow ones are 408."""
    app, _ = backend
    ran = declare(app)
    headers, body = push("t", {"n": 1})
    settings = PushSettings(insecure_no_auth=True, max_body=len(body), body_timeout=timedelta(milliseconds=20))

    class Slow(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            threading.Event().wait(0.03)
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
        # Without a length and without that word nobody knows where it ends: there is no body, so it is poison.
        assert 200 == post(io.BytesIO(body))
    assert [1, 1] == ran


@pytest.fixture
def configured_django() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DEBUG=False,
            SECRET_KEY="test",  # noqa: S106 - of no use to anybody
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", "django.middleware.common.CommonMiddleware"],
        )
        django.setup()


def test_django(edge, configured_django):
    """A view among others, behind the usual middleware, the check of CSRF tokens included."""
    from django.http import HttpResponse
    from django.test import Client as DjangoClient
    from django.test import override_settings
    from django.urls import re_path

    ran = declare(edge.app)

    class Urls:
        urlpatterns = [  # noqa: RUF012 - Django's own form
            re_path(r"^hello$", lambda _: HttpResponse("hello")),
            re_path(r"^tasks/.*$", cloudq.push.django(edge)),
        ]

    with override_settings(ROOT_URLCONF=Urls):
        client = DjangoClient(enforce_csrf_checks=True)
        for number, task in enumerate(("t", "async-t")):
            headers, body = push(task, {"n": number}, id=str(number))
            response = client.post("/tasks/", data=body, content_type=headers.pop("content-type"), headers=headers)
            assert 200 == response.status_code
        assert 400 == client.post("/tasks/", data=b"x", content_type="text/plain").status_code
        assert b"hello" == client.get("/hello").content
        assert 2 == json.loads(client.get("/tasks/healthz").content)["counts"]["acked"]
        assert 405 == client.get("/tasks/").status_code
    assert [0, 1] == ran


def test_django_says_413(backend, configured_django):
    """Whatever Django's own limit of a body is: nothing of it is read."""
    from django.test import RequestFactory

    app, driver = backend
    with edge_of(app, PushSettings(insecure_no_auth=True, max_body=10)) as edge:
        headers, body = push("t")
        request = RequestFactory().post("/", data=body, content_type=headers.pop("content-type"), headers=headers)
        response = cloudq.push.django(edge)(request)
        assert (413, "application/json") == (response.status_code, response["Content-Type"])
        assert "Connection" not in response
    assert [] == driver.decoded


def test_names():
    """The public names are there, and no others."""
    assert set(cloudq.push.__all__) == set(dir(cloudq.push))
    for name in cloudq.push.__all__:
        assert getattr(cloudq.push, name) is not None
    with pytest.raises(AttributeError):
        _ = cloudq.push.nobody
    assert OPEN.insecure_no_auth


def test_a_cut_connection_under_wsgi(backend):
    """Where the server shows its socket (Werkzeug's, as gunicorn's), the task is told within a moment."""
    from werkzeug.serving import make_server

    app, driver = backend
    started, told = threading.Event(), threading.Event()

    @app.task("t")
    def task(context: cloudq.Context) -> None:
        started.set()
        assert context.lease_lost.wait(10)
        told.set()

    with edge_of(app) as edge:
        server = make_server("127.0.0.1", 0, cloudq.push.wsgi(edge), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            headers, body = push("t")
            lines = [f"{name}: {value}" for name, value in {"host": "x", **headers}.items()]
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as raw:
                raw.sendall("\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body)
                assert started.wait(10)
                assert not told.wait(0.3)
            assert told.wait(5)
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()
    assert [] == driver.sent


def test_an_asgi_server_that_fails_to_say_whether_the_sender_is_there(edge):
    """A middleware's `receive` that raises after the body: nothing is known, and the push is answered as usual."""
    ran = declare(edge.app)
    headers, body = push("t", {"n": 1})
    events = iter([{"type": "http.request", "body": body}])

    async def receive() -> Any:
        return next(events)  # StopIteration in a coroutine is a RuntimeError

    assert (200, 2) == answered(cloudq.push.asgi(edge), headers, receive)
    assert [1] == ran


def test_a_middleware_that_wraps_the_request_hangs_nothing_up(edge):
    """Starlette's own kind gives its application a `receive` of its own: a push through it is whole, and isn't lost."""
    from starlette.middleware.base import BaseHTTPMiddleware

    lost: list[bool] = []

    @edge.app.task("t")
    async def task(context: cloudq.Context) -> None:
        lost.append(context.lease_lost.is_set())
        await asyncio.sleep(0.05)
        lost.append(context.lease_lost.is_set())

    async def passed_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    web = fastapi.FastAPI()
    web.add_middleware(BaseHTTPMiddleware, dispatch=passed_on)
    web.mount("/tasks", cloudq.push.asgi(edge))
    assert 200 == posted(web, *push("t"), path="/tasks/").status_code
    assert [False, False] == lost
