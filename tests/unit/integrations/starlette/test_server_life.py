"""An App is opened when the server starts, and closed when it ends."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import cloudq
from cloudq import App
from cloudq.errors import BackendError, ConfigurationError
from cloudq.integrations.starlette import get_app, lifespan, opened
from cloudq.push import PushSettings, asgi
from cloudq.testing import in_memory, run_all, sent
from cloudq.worker.settings import WorkerSettings
from tests.unit.push.fakes import URL, PushedDriver, push
from tests.unit.worker.fakes import until


@pytest.fixture
def app(tmp_path) -> Iterator[App]:
    app = App(f"sqlite:///{tmp_path / 'q.db'}")

    @app.task("welcome")
    def welcome(user_id: int) -> None: ...

    yield app
    app.close()


def fastapi(app: App, **options: Any) -> FastAPI:
    web = FastAPI(lifespan=lifespan(app, **options))

    @web.post("/users/{user_id}")
    async def join(user_id: int, queue: Annotated[App, Depends(get_app)]) -> str:
        return (await queue.asend("welcome", {"user_id": user_id})).id

    @web.websocket("/ws")
    async def connect(socket: WebSocket, queue: Annotated[App, Depends(get_app)]) -> None:
        await socket.accept()
        await socket.send_text((await queue.asend("welcome", {"user_id": 2})).id)
        await socket.close()

    return web


def test_it_is_open_while_the_server_serves(app) -> None:
    """So that a server doesn't start on a backend that can't be opened; each request is given it."""
    with TestClient(fastapi(app)) as client:
        assert app.is_open
        assert client.post("/users/1").json()
        with client.websocket_connect("/ws") as socket:
            assert socket.receive_text()
    assert not app.is_open
    assert 2 == app.queue("default").stats().ready


def test_a_backend_that_cannot_be_opened_keeps_the_server_from_starting(tmp_path) -> None:
    """With the error that says why."""
    app = App(f"sqlite:///{tmp_path / 'no' / 'folder' / 'q.db'}")
    with pytest.raises((BackendError, ConfigurationError)), TestClient(fastapi(app)):
        pass


def test_without_the_lifespan_there_is_no_app(app) -> None:
    """As in a test that doesn't enter the client; the error says what to do."""
    with pytest.raises(ConfigurationError, match="opened no App") as refused:
        TestClient(fastapi(app)).post("/users/1")
    assert "with TestClient(web)" in str(refused.value.hint)


def test_a_programs_own_lifespan_runs_within(app) -> None:
    """Its state is kept; in Starlette the App is asked for by the request."""
    events: list[str] = []

    @asynccontextmanager
    async def inner(web: Starlette) -> AsyncIterator[dict[str, Any]]:
        events.append(f"{type(web).__name__} {app.is_open}")
        yield {"shop": "open"}
        events.append(f"end {app.is_open}")

    async def endpoint(request: Request) -> Response:
        assert app is get_app(request)
        return PlainTextResponse(request.state.shop)

    web = Starlette(lifespan=lifespan(app, inner=inner), routes=[Mount("/sub", routes=[Route("/", endpoint)])])
    with TestClient(web) as client:
        assert "open" == client.get("/sub/").text
    assert ["Starlette True", "end True"] == events


def test_a_lifespan_of_your_own_opens_it_as_well(app) -> None:
    """`opened` is the part that opens and closes; an error within closes it, too."""

    @asynccontextmanager
    async def own(web: Starlette) -> AsyncIterator[None]:
        async with opened(app) as same:
            assert same is app
            assert app.is_open
            yield
            raise KeyError("own")

    with pytest.raises(KeyError), TestClient(Starlette(lifespan=own)):
        assert app.is_open
    assert not app.is_open


def test_a_worker_runs_beside_the_requests(app) -> None:
    """And has ended, with what it ran, when the server has."""
    ran = threading.Event()
    events: list[str] = []

    @app.task("slow")
    def slow(user_id: int) -> None:
        ran.set()
        events.append("ran")

    app.on_stop(lambda: events.append("stop"))
    with TestClient(fastapi(app, worker=WorkerSettings(concurrency=1))) as client:
        client.post("/users/1")
        app.send("slow", {"user_id": 1})
        assert ran.wait(60)
        until(lambda: app.queue("default").stats().ready == 0)
    assert ["ran", "stop"] == events
    assert not any(thread.name == "cloudq-server-worker" for thread in threading.enumerate())


def test_a_worker_makes_a_backend_in_memory_useful(tmp_path) -> None:
    """For development: nothing but this process sees its messages."""
    app = App("memory://")
    ran: list[int] = []

    @app.task("welcome")
    async def welcome(user_id: int) -> None:
        ran.append(user_id)

    with TestClient(fastapi(app, worker=WorkerSettings())) as client:
        client.post("/users/1")
        until(lambda: ran == [1])


def test_a_backend_that_pushes_has_no_worker() -> None:
    """It says what to do in its place; the server doesn't start."""
    app = App(URL)
    app.task("welcome")(lambda user_id: None)
    driver: Any = PushedDriver()
    driver.receive = None
    with (
        app.using(driver),
        pytest.raises(ConfigurationError, match="pushes"),
        TestClient(fastapi(app, worker=WorkerSettings())),
    ):
        pass


def greeting() -> tuple[App, FastAPI, list[str]]:
    """An app that notes its start, its end and whom it greets, and a server that takes its pushes below `/tasks`."""
    app = App(URL)
    events: list[str] = []
    app.on_start(lambda: events.append("start"))
    app.on_stop(lambda: events.append("stop"))

    @app.task("greet")
    def greet(name: str) -> None:
        events.append(name)

    pushed = asgi(app, PushSettings(insecure_no_auth=True))
    web = FastAPI(lifespan=lifespan(app, push=pushed))
    web.mount("/tasks", pushed)
    return app, web, events


def test_what_takes_pushes_is_opened_and_closed_with_the_server() -> None:
    """A mounted application hears nothing of the server's start and end by itself."""
    app, web, events = greeting()
    headers, body = push("greet", {"name": "ada"})
    with app.using(PushedDriver()), TestClient(web, client=("127.0.0.1", 5)) as client:
        assert ["start"] == events
        assert 200 == client.post("/tasks/", headers={**headers, "host": "localhost"}, content=body).status_code
    assert ["start", "ada", "stop"] == events


def test_each_start_of_the_server_takes_pushes() -> None:
    """Also after an end: a suite of tests enters a client in each of them."""
    app, web, events = greeting()
    for name in ("ada", "bob"):
        headers, body = push("greet", {"name": name}, id=name)
        with app.using(PushedDriver()), TestClient(web, client=("127.0.0.1", 5)) as client:
            assert 200 == client.post("/tasks/", headers={**headers, "host": "localhost"}, content=body).status_code
            page = client.get("/tasks/readyz")
            assert (200, 1) == (page.status_code, page.json()["counts"]["started"])
    assert ["start", "ada", "stop", "start", "bob", "stop"] == events


def test_the_app_of_a_test_is_in_memory_all_the_same(app) -> None:
    """What `in_memory` lent is left as it is at the server's end."""
    with in_memory(app), TestClient(fastapi(app)) as client:
        client.post("/users/1")
        assert [{"user_id": 1}] == [one.payload for one in sent(app)]
        run_all(app)


def test_the_public_names_are_there() -> None:
    """Under the names that the documentation gives."""
    import cloudq.integrations.starlette as room

    assert all(getattr(room, name) for name in room.__all__)
    assert cloudq.App is App
