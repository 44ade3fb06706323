"""The peer of the push benchmark: an endpoint in FastAPI, verified as google-auth's documentation says.

`google.oauth2.id_token`, over a session that keeps the certificates (CacheControl), as "Authentication for push
subscriptions" of Pub/Sub calls it; then the function. No retries, dead letters, time limits, bounds on load or bodies.
"""

from __future__ import annotations

import socket
import sys

import cachecontrol
import google.auth.transport.requests
import requests
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from google.oauth2 import id_token
from pydantic import BaseModel


class Arguments(BaseModel):
    """The function's."""

    n: int


class Event(BaseModel):
    """A CloudEvent in JSON, as far as it is needed."""

    id: str
    type: str
    data: Arguments


def noop(n: int) -> None:
    """The same as beside it in cloudq."""


def endpoint(kind: str, certificates: str, audience: str, account: str) -> FastAPI:
    """The application.

    Args:
        kind: `def` or `async`.
        certificates: The URL of the keys.
        audience: Whom tokens have to be for.
        account: Whose they have to be.
    """
    web = FastAPI()
    session = cachecontrol.CacheControl(requests.session())
    fetch = google.auth.transport.requests.Request(session=session)

    def handle(event: Event, request: Request) -> dict[str, str]:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            claims = id_token.verify_token(shown, fetch, audience=audience, certs_url=certificates)
        except ValueError as error:
            raise HTTPException(401) from error
        if claims["email"] != account or not claims["email_verified"]:
            raise HTTPException(403)
        noop(event.data.n)
        return {}

    async def ahandle(event: Event, request: Request) -> dict[str, str]:
        return handle(event, request)

    web.post("/")(handle if kind == "def" else ahandle)
    return web


class Server(uvicorn.Server):
    """uvicorn, that says its port."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def main(kind: str, certificates: str, parser: str, audience: str, account: str) -> None:
    """Serves it, by uvicorn with that parser, as its command does, and prints its port."""
    application = endpoint(kind, certificates, audience, account)
    Server(uvicorn.Config(application, port=0, http=parser, access_log=False, log_level="warning")).run()


if __name__ == "__main__":
    main(*sys.argv[1:6])
