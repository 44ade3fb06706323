"""The edge under ASGI, by itself and in FastAPI and Starlette."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import fastapi
import httpx
import pytest
from werkzeug.test import Client

import cloudq
import cloudq.push
from cloudq.push import PushSettings
from tests.unit.push.fakes import HERE, Gate, declare, edge_of, posted, push


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
    assert (200, True, 2) == (page.status_code, page.json()["ok"], page.json()["counts"]["succeeded"])
    assert [1, 2] == ran


def test_litestar(backend, edge):
    """As the how-to page mounts it: the path below it, and the unread body, are passed on."""
    import litestar
    from litestar.types import Receive, Scope, Send

    ran = declare(edge.app)
    receiver = cloudq.push.asgi(edge)

    @litestar.asgi("/tasks", is_mount=True, copy_scope=True)
    async def take_pushes(scope: Scope, receive: Receive, send: Send) -> None:
        await receiver(scope, receive, send)

    @litestar.get("/hello", sync_to_thread=False)
    def hello() -> str:
        return "hello"

    web = litestar.Litestar(route_handlers=[take_pushes, hello])
    assert 200 == posted(web, *push("t", {"n": 1}, id="1"), path="/tasks/").status_code
    assert 200 == posted(web, *push("async-t", {"n": 2}, id="2"), path="/tasks/anything").status_code
    assert 400 == posted(web, {}, b"x", path="/tasks/").status_code
    assert "hello" == posted(web, {}, b"", path="/hello", method="GET").text
    assert 200 == posted(web, {}, b"", path="/tasks/healthz", method="GET").status_code
    assert [1, 2] == ran


def test_aiohttp(backend, edge):
    """No ASGI: the handler of the how-to page passes a request on, and answers with what it is given."""
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    ran = declare(edge.app)

    async def take_push(request: web.Request) -> web.Response:
        answer = await cloudq.push.ahandle(edge, request.headers, await request.read())
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def run() -> list[int]:
        app = web.Application()
        app.router.add_post("/tasks/", take_push)
        async with TestClient(TestServer(app)) as client:
            pushes = [push("t", {"n": 1}, id="1"), push("async-t", {"n": 2}, id="2"), ({}, b"x")]
            return [(await client.post("/tasks/", headers=headers, data=body)).status for headers, body in pushes]

    assert [200, 200, 400] == asyncio.run(run())
    assert [1, 2] == ran


def test_async_tasks_run_on_the_servers_loop(edge):
    """So that they share what belongs to it, a pool of connections say."""
    loops = []

    @edge.app.task("t")
    async def task() -> None:
        loops.append(asyncio.get_running_loop())

    async def run() -> None:
        transport = httpx.ASGITransport(cloudq.push.asgi(edge), client=HERE)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
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
        assert 500 == answer.result(60).status_code


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


def test_an_attribute_that_is_there_twice_is_refused(edge):
    """Of an event in binary mode: a gateway may have looked at the other one."""
    ran = declare(edge.app)
    head = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s", "content-type": "application/json"}
    for second, status in (("2", 400), (None, 200)):
        headers = [*head.items(), ("ce-id", "1"), *([("Ce-Id", second)] if second else [])]
        assert status == posted(cloudq.push.asgi(edge), httpx.Headers(headers), b'{"n": 1}').status_code
    assert [1] == ran
