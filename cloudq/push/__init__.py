"""Tasks that are pushed over HTTP: Google Cloud Tasks, Pub/Sub, Eventarc and whatever else sends CloudEvents.

`cloudq worker` serves them by itself; these mount them in a web application that there is already.

```python
import cloudq.push
from fastapi import FastAPI
from shop.tasks import app

web = FastAPI()
web.mount("/tasks", cloudq.push.asgi(app))
```
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpResponse

    from cloudq.app import App
    from cloudq.core.push import PushResponse
    from cloudq.push.asgi_app import AsgiApp
    from cloudq.push.edge import PushEdge
    from cloudq.push.settings import PushSettings
    from cloudq.push.wsgi_app import WsgiApp

__all__ = ["PushEdge", "PushResponse", "PushSettings", "ahandle", "asgi", "django", "handle", "wsgi"]

_HOMES: Final = {
    "PushEdge": "cloudq.push.edge",
    "PushResponse": "cloudq.core.push",
    "PushSettings": "cloudq.push.settings",
}
_edges: Final[WeakKeyDictionary[App, PushEdge]] = WeakKeyDictionary()
_lock: Final = threading.Lock()


def asgi(target: App | PushEdge, settings: PushSettings | None = None) -> AsgiApp:
    """An ASGI application that takes pushes: to mount in FastAPI or Starlette, or to serve by itself.

    Plain functions run in threads, async ones on the server's loop. `POST` to any path is a push; `GET` of paths that
    end in `/healthz` or `/readyz` are the [health pages](../how-to/run-a-worker.md#health), without a token.

    Args:
        target: The app whose tasks to run, or an edge that others share.
        settings: How, and from whom pushes are taken. Not together with an edge, which has its own.

    Raises:
        ConfigurationError: Settings were given together with an edge.

    Nothing is opened before the first request, or the server's start-up event where it is served by itself.
    """
    from cloudq.push.asgi_app import AsgiApp

    return AsgiApp(_edge(target, settings))


def wsgi(target: App | PushEdge, settings: PushSettings | None = None) -> WsgiApp:
    """A WSGI application that takes pushes, as `asgi`: to mount in Flask, or to serve by itself.

    A plain function runs in the server's own thread, so that its number of threads bounds how many run at once, too.
    Async ones run on one event loop beside them.
    """
    from cloudq.push.wsgi_app import WsgiApp

    return WsgiApp(_edge(target, settings))


def django(target: App | PushEdge, settings: PushSettings | None = None) -> Callable[..., HttpResponse]:
    """A view of Django that takes pushes, as `wsgi`.

    It is exempt from the check of CSRF tokens, and from a login where `LoginRequiredMiddleware` asks for one. No
    request is a transaction, also under `ATOMIC_REQUESTS`: a task's transactions are its own.

    Under ASGI Django reads a whole body before it calls any view, and runs all such views one after the other: mount
    `asgi` beside it there.

    Raises:
        ConfigurationError: Django isn't installed, or settings were given together with an edge.
    """
    from cloudq.push.django_view import view_of

    return view_of(_edge(target, settings))


def handle(target: App | PushEdge, headers: Mapping[str, str], body: bytes) -> PushResponse:
    """Answers one push, under any framework, or none. Waits until the task has run and is settled.

    The sender is verified here, too. But the body was read before that, from an unknown sender and without a bound on
    the time it took: the ready-made adapters read it only afterwards.

    Args:
        target: The app whose tasks to run, or an edge. Of an app, one edge with the usual settings is made and kept.
        headers: Of the request, by name, in any case.
        body: Of the request.

    Returns:
        What to answer. Whatever goes wrong, it is an answer that has the message pushed again.
    """
    from cloudq.push.edge import too_large
    from cloudq.push.headers import by_name

    edge = _find_or_make_edge(target)

    def read() -> bytes:
        if len(body) > edge.settings.max_body:
            raise too_large(edge.settings.max_body)
        return body

    return edge.handle(by_name(headers.items()), read)


async def ahandle(target: App | PushEdge, headers: Mapping[str, str], body: bytes) -> PushResponse:
    """As `handle`, for async code: plain functions run in threads, async ones on the running loop."""
    from cloudq.push.edge import too_large
    from cloudq.push.headers import by_name

    edge = _find_or_make_edge(target)

    async def read() -> bytes:
        if len(body) > edge.settings.max_body:
            raise too_large(edge.settings.max_body)
        return body

    return await edge.ahandle(by_name(headers.items()), read)


def _edge(target: App | PushEdge, settings: PushSettings | None) -> PushEdge:
    from cloudq.errors import ConfigurationError
    from cloudq.push.edge import PushEdge

    if not isinstance(target, PushEdge):
        return PushEdge(target, settings)
    if settings is not None:
        raise ConfigurationError("an edge has settings of its own", hint="PushEdge(app, settings)")
    return target


def _find_or_make_edge(target: App | PushEdge) -> PushEdge:
    from cloudq.push.edge import PushEdge

    if isinstance(target, PushEdge):
        return target
    with _lock:
        edge = _edges.get(target)
        if edge is None:
            edge = _edges[target] = PushEdge(target)
        return edge


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cloudq.push' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
