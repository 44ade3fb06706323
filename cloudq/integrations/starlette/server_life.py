"""`lifespan` and `opened`: an App is opened when the server starts, and closed when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from anyio.to_thread import run_sync
from starlette.requests import HTTPConnection

from cloudq.app import App
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.push.asgi_app import AsgiApp
    from cloudq.push.edge import PushEdge
    from cloudq.worker.settings import WorkerSettings

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""What Starlette and FastAPI take: called with the web application, it surrounds the time that it serves."""

_STATE: Final = "cloudq"


def lifespan(
    app: App,
    *,
    worker: WorkerSettings | None = None,
    push: AsgiApp | None = None,
    inner: Lifespan | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """The `lifespan` of `Starlette(...)` and `FastAPI(...)`: opens the App, and closes it.

    Args:
        app: Opened, and what `get_app` gives.
        worker: Has a worker run in the server's process, with these settings. `None`: none does.
        push: What takes its pushes, mounted in the web application: opened and closed with it.
        inner: The program's own lifespan, within which the App is open. Its state is kept.
    """

    @asynccontextmanager
    async def surrounding(web: Any) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(opened(app, worker=worker, push=push))
            state = None if inner is None else await stack.enter_async_context(inner(web))
            yield {**(state or {}), _STATE: app}

    return surrounding


@asynccontextmanager
async def opened(app: App, *, worker: WorkerSettings | None = None, push: AsgiApp | None = None) -> AsyncIterator[App]:
    """The App, open within the block: for a lifespan of your own. As `lifespan` otherwise.

    At the start the backend is opened, so that a server doesn't start where it can't be. At the end the worker stops as
    at a first signal (what runs has `WorkerSettings.grace` left), then the App is closed.

    Raises:
        ConfigurationError: The App, its URL or the settings can't be used.
        BackendError: The backend can't be opened.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_in_a_thread, app.close)
        await run_sync(app.driver)  # opening reads and writes files
        if push is not None:
            stack.push_async_callback(_in_a_thread, lambda: _end(push.edge))
            await run_sync(push.edge.open)
        if worker is not None:
            from cloudq.integrations.starlette.server_worker import ServerWorker

            running = await run_sync(ServerWorker, app, worker)
            await run_sync(running.start)
            stack.push_async_callback(_in_a_thread, running.stop)
        yield app


def get_app(connection: HTTPConnection) -> App:
    """The App of the server that answers this request: for `Depends(get_app)` of FastAPI, or `get_app(request)`.

    Raises:
        ConfigurationError: The web application has no lifespan of `lifespan(app)`, or its lifespan isn't run.
    """
    app = getattr(connection.state, _STATE, None)
    if not isinstance(app, App):
        raise ConfigurationError(
            "this web application has opened no App: its lifespan is another one, or isn't run",
            hint="FastAPI(lifespan=lifespan(app)); in tests `with TestClient(web) as client:`",
        )
    return app


def _end(edge: PushEdge) -> None:
    edge.stop()  # the server has let the requests end that were under way
    edge.close()


async def _in_a_thread(function: Callable[[], object]) -> None:
    """To its end, also where the server is being cancelled."""
    with anyio.CancelScope(shield=True):
        await run_sync(function)
