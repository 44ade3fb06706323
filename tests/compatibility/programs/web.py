"""A WSGI and an ASGI application that send a task a request; with `EARLY` set, one at import, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from shop import ok

if os.environ.get("EARLY"):
    ok.send(n=-1)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    try:
        ok.send(n=int(environ["PATH_INFO"].strip("/")))
        said = "stored"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only HTTP")
    try:
        await ok.asend(n=int(scope["path"].strip("/")))
        said = "stored"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": said.encode()})
