"""Background tasks whose work is a message: stored before the response, or after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cloudq import App
from cloudq.core.driver import SendResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, PayloadError
from cloudq.integrations.starlette import BackgroundTask, BackgroundTasks, background_tasks
from cloudq.testing import in_memory, run_all, sent

shop = App("memory://")
events: list[str] = []


@shop.task
def welcome(user_id: int) -> None:
    events.append(f"welcome {user_id}")


class Down(MemoryDriver):
    """A backend that stores nothing."""

    def send(self, outgoing: Any) -> list[SendResult]:
        events.append("refused")
        return [SendResult(error=BackendUnavailable("down")) for _ in outgoing]


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    events.clear()
    with in_memory(shop):
        yield


def note(what: str) -> None:
    events.append(what)


async def anote(what: str) -> None:
    events.append(f"{what}, stored: {len(sent(shop))}")


def served(endpoint: Any) -> TestClient:
    return TestClient(Starlette(routes=[Route("/", endpoint)]), raise_server_exceptions=False)


def test_in_starlette_calls_are_stored_after_the_response() -> None:
    """As its own are run then; functions follow, in their order."""

    async def endpoint(request: Request) -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(note, "plain")
        tasks.add_task(welcome, 1)
        tasks.add_task(welcome, user_id=2)
        tasks.add_task(anote, "async")
        events.append(f"endpoint, stored: {len(sent(shop))}")
        return JSONResponse({}, 202, background=tasks)

    assert 202 == served(endpoint).get("/").status_code
    assert ["endpoint, stored: 0", "plain", "async, stored: 2"] == events
    run_all(shop)
    assert ["welcome 1", "welcome 2"] == events[3:]


def test_what_is_stored_in_the_endpoint_is_answered_for() -> None:
    """And isn't sent again after the response."""

    async def endpoint(request: Request) -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(welcome, 1)
        tasks.add_task(welcome, 2)
        ids = [one.id for one in await tasks.store()]
        return JSONResponse(ids, 202, background=tasks)

    answered = served(endpoint).get("/").json()
    assert [1, 2] == [one.payload["user_id"] for one in sent(shop)]
    assert answered == [one.id for one in sent(shop)]


def test_arguments_that_do_not_fit_are_an_error_of_the_endpoint() -> None:
    """They would fail where nobody sees it."""
    wrong: Any = "x"
    with pytest.raises(PayloadError, match="user_id"):
        BackgroundTasks().add_task(welcome, wrong)
    with pytest.raises(PayloadError, match="user_id"):
        BackgroundTask(welcome, wrong)


def test_a_single_task_is_stored_after_the_response() -> None:
    """Or is a function, as usual."""

    async def endpoint(request: Request) -> Response:
        return Response(background=BackgroundTask(welcome, user_id=1))

    async def plain(request: Request) -> Response:
        return Response(background=BackgroundTask(note, what="plain"))

    served(endpoint).get("/")
    served(plain).get("/")
    assert ["plain"] == events
    assert [{"user_id": 1}] == [one.payload for one in sent(shop)]


def test_functions_run_though_a_call_was_not_stored() -> None:
    """All calls are tried; the first that failed is raised, which the server logs."""
    tasks = BackgroundTasks()
    tasks.add_task(welcome, 1)
    tasks.add_task(welcome, 2)
    tasks.add_task(note, "plain")

    async def endpoint(request: Request) -> Response:
        return Response(status_code=202, background=tasks)

    web = Starlette(routes=[Route("/", endpoint)])
    with shop.using(Down()), pytest.raises(BackendUnavailable), TestClient(web) as client:
        client.get("/")
    assert "plain" == events[-1]


def test_every_call_that_was_not_stored_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One error alone can be raised, and after the response nobody asks for the others; payloads aren't shown."""
    tasks = BackgroundTasks()
    tasks.add_task(welcome, 4711)
    tasks.add_task(welcome, 4712)
    with shop.using(Down()), pytest.raises(BackendUnavailable):
        anyio.run(tasks)
    assert 2 == caplog.text.count(f"a call of {welcome.name} wasn't stored: down")
    assert "471" not in caplog.text


@pytest.mark.parametrize("many", [False, True])
def test_a_client_that_hangs_up_loses_nothing(tmp_path: Path, many: bool) -> None:
    """It has its response; a server's middleware may cancel what still runs for it, be it the App's first send."""
    app = App(f"sqlite:///{tmp_path}/q.db")

    @app.task("welcome")
    def welcome(user_id: int) -> None:
        events.append(f"welcome {user_id}")

    async def hung_up() -> None:
        tasks: Any = BackgroundTasks() if many else BackgroundTask(welcome, 1)
        if many:
            tasks.add_task(welcome, 1)
        with anyio.CancelScope() as client:
            client.cancel()
            await tasks()

    anyio.run(hung_up)
    assert 1 == app.queue("default").stats().ready
    app.close()


Tasks = Annotated[BackgroundTasks, Depends(background_tasks, scope="function")]
Later = Annotated[BackgroundTasks, Depends(background_tasks)]


def fastapi() -> FastAPI:
    web = FastAPI()

    @web.post("/before")
    def before(tasks: Tasks, *, fail: bool = False) -> str:
        tasks.add_task(welcome, user_id=1)
        tasks.add_task(anote, "function")
        if fail:
            raise KeyError("fail")
        return "accepted"

    @web.post("/after")
    async def after(tasks: Later) -> str:
        tasks.add_task(welcome, user_id=1)
        return "accepted"

    return web


def test_in_fastapi_calls_are_stored_before_the_response() -> None:
    """Where the scope says so: a call that can't be stored is no success."""
    with TestClient(fastapi(), raise_server_exceptions=False) as client:
        assert 200 == client.post("/before").status_code
        assert ["function, stored: 1"] == events
        with shop.using(Down()):
            assert 500 == client.post("/before").status_code
        assert "refused" in events
        assert 1 == len(sent(shop))


def test_in_fastapi_an_endpoint_that_fails_stores_nothing() -> None:
    """Nor does it run the functions."""
    with TestClient(fastapi(), raise_server_exceptions=False) as client:
        assert 500 == client.post("/before", params={"fail": True}).status_code
    assert [] == sent(shop)
    assert [] == events


def test_in_fastapi_without_that_scope_calls_are_stored_after_the_response() -> None:
    """So a refusal comes too late to be told."""
    with TestClient(fastapi(), raise_server_exceptions=False) as client:
        assert 200 == client.post("/after").status_code
        assert 1 == len(sent(shop))
        with shop.using(Down()):
            assert 200 == client.post("/after").status_code
        assert "refused" in events
