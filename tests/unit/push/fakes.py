"""A backend that pushes, keys and tokens, servers of certificates, and handlers that wait for the test."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import google.auth.jwt
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth.crypt import RSASigner

from cloudq import App
from cloudq.core import wire
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Outgoing, SendResult
from cloudq.core.message import Message
from cloudq.core.push import PushRequest, PushResponse
from cloudq.drivers.cloud_tasks import pushing
from cloudq.drivers.cloud_tasks.names import Names
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable
from cloudq.push import PushEdge, PushSettings, certificates, oidc
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import cloud_tasks_like

ACCOUNT = "pusher@project-1.iam.gserviceaccount.com"
AUDIENCE = "https://worker.example/"
URL = f"cloudtasks://project-1/europe-west1?target={AUDIENCE}&service_account={ACCOUNT}"
OPEN = PushSettings(insecure_no_auth=True)
HERE = ("127.0.0.1", 50000)


class PushedDriver(MemoryDriver):
    """Keeps in memory what is sent, and takes pushes as Cloud Tasks makes them. Knows what it decoded."""

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, prefix: str = "") -> None:
        super().__init__(clock=clock, capabilities=cloud_tasks_like)
        self._names = Names("project-1", "europe-west1", prefix)
        self.decoded: list[PushRequest] = []
        self.full = False

    def decode(self, request: PushRequest) -> Delivery:
        self.decoded.append(request)
        return pushing.decoded(request, self._names)

    def encode(self, final: Final) -> PushResponse:
        return pushing.encoded(final.step)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        if self.full:
            return [SendResult(error=BackendUnavailable("away"))] * len(outgoing)
        return super().send(outgoing)

    def stored(self, queue: str) -> list[Message]:
        """What was stored in a queue, decoded."""
        return [wire.decode(item.body, queue) for item in self.sent if item.queue == queue]


@contextmanager
def pushed(*, clock: Clock = SYSTEM_CLOCK, driver: PushedDriver | None = None) -> Iterator[tuple[App, PushedDriver]]:
    """An app on such a backend."""
    driver = driver or PushedDriver(clock=clock)
    app = App(URL)
    with app.using(driver, clock=clock):
        yield app, driver


@contextmanager
def edge_of(app: App, settings: PushSettings = OPEN, **more: Any) -> Iterator[PushEdge]:
    """An edge whose threads end with the block."""
    edge = PushEdge(app, settings, **more)
    try:
        yield edge
    finally:
        edge.close()


def push(
    task: str = "noop",
    payload: Mapping[str, object] | None = None,
    *,
    id: str = "m1",  # noqa: A002 - the message's own word
    queue: str = "default",
    retries: int = 0,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a push as Cloud Tasks makes it."""
    body = wire.encode(Message(id=id, task=task, queue=queue, payload=payload or {}, **fields))
    made = {
        "x-cloudtasks-queuename": queue,
        "x-cloudtasks-taskname": f"t-{id}",
        "x-cloudtasks-taskretrycount": str(retries),
        "content-type": "application/cloudevents+json",
        "content-length": str(len(body)),
    }
    if token is not None:
        made["authorization"] = f"Bearer {token}"
    return {**made, **(headers or {})}, body


class Gate:
    """A handler that starts, says so, and goes on when the test lets it."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.goes_on = threading.Event()
        self.ran: list[object] = []

    def __call__(self, name: object) -> None:
        self.started.release()
        assert self.goes_on.wait(60), "nobody let it go on"
        self.ran.append(name)

    def wait_started(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.started.acquire(timeout=60), "it didn't start"


class Key:
    """A key pair with its certificate."""

    def __init__(self, key_id: str) -> None:
        self.id = key_id
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.private, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
        )

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def signed(self, claims: Mapping[str, object], key_id: str | None = None) -> str:
        signer = RSASigner(self.private, key_id=key_id or self.id)
        token: bytes = google.auth.jwt.encode(signer, claims)
        return token.decode()


@cache
def key(key_id: str) -> Key:
    """The key of that id, the same for a whole run."""
    return Key(key_id)


def claims(**changed: object) -> dict[str, object]:
    """What a token of Google's says."""
    now = int(time.time())
    said: dict[str, object] = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        "sub": "1",
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(key_id: str = "a", **changed: object) -> str:
    """A token, good unless something is changed."""
    return key(key_id).signed(claims(**changed))


class CertificateServer:
    """Serves certificates on loopback, and counts how often."""

    def __init__(self, *key_ids: str) -> None:
        self.keys = list(key_ids)
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {"Cache-Control": "public, max-age=3600"}
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                body = server.body
                if body is None:
                    body = json.dumps({one: key(one).certificate for one in server.keys}).encode()
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/certs"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def certificates_of(*key_ids: str) -> Iterator[CertificateServer]:
    """A server for the block. On a busy machine it may be slow, which is no outage."""
    server = CertificateServer(*key_ids)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certificates, "FETCH_SECONDS", 60.0)
            patch.setattr(oidc, "PATIENCE_SECONDS", 61.0)
            yield server
    finally:
        server.close()


def passes_until_lost(clock: FakeClock, lost: threading.Event) -> None:
    """Has time pass until a lease is lost: a watch that looked at the clock just before a step waits from after it."""
    for _ in range(600):  # a minute of real time, and less fake time than a wrong step of the clock takes
        if lost.wait(0.1):
            return
        clock.advance(timedelta(seconds=1))
    raise AssertionError("the lease isn't lost")


def declare(app: App, name: str = "t") -> list[object]:
    """A task of each kind, `name` and `async-name`; what they were given is in the list."""
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
    """What an ASGI application answers to a request from this machine."""

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(asgi, client=more.pop("client", HERE))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(more.pop("method", "POST"), path, headers=headers, content=body, **more)

    return asyncio.run(post())
