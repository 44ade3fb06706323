"""Who isn't known is refused before anything of the body is read or decoded, and no log holds a token."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import Client

import cloudq.push
from cloudq import App
from cloudq.core.push import PushResponse
from cloudq.errors import ConfigurationError
from cloudq.push import PushEdge, PushSettings, oidc
from cloudq.push.certificates import STALE_LIFE, USUAL_LIFE, verifier_of
from cloudq.push.settings import CERTIFICATES_VARIABLE
from cloudq.testing.clock import FakeClock
from tests.unit.push.fakes import (
    ACCOUNT,
    AUDIENCE,
    CertificateServer,
    PushedDriver,
    certificates_of,
    claims,
    declare,
    edge_of,
    key,
    posted,
    push,
    pushed,
    token,
)


class Door:
    """An edge that asks for tokens, and what got past it."""

    def __init__(self, app: App, driver: PushedDriver, edge: PushEdge, server: CertificateServer) -> None:
        self.driver = driver
        self.edge = edge
        self.server = server
        self.bodies = 0
        self.ran: list[int] = []
        app.task("t")(lambda: self.ran.append(1))

    def knock(self, shown: str | None, *, on_a_loop: bool = False, **more: str) -> PushResponse:
        headers, body = push("t", token=shown)
        return self.request({**headers, **more}, body, on_a_loop=on_a_loop)

    def request(self, headers: Mapping[str, str], body: bytes = b"", *, on_a_loop: bool = False) -> PushResponse:
        def read() -> bytes:
            self.bodies += 1
            return body

        async def aread() -> bytes:
            return read()

        if on_a_loop:
            return asyncio.run(self.edge.ahandle(headers, aread))
        return self.edge.handle(headers, read)

    @property
    def untouched(self) -> bool:
        return not self.bodies and not self.driver.decoded and not self.ran


@pytest.fixture
def door() -> Iterator[Door]:
    with (
        certificates_of("a", "b") as server,
        pushed() as (app, driver),
        edge_of(app, PushSettings(certificates_url=server.url)) as edge,
    ):
        yield Door(app, driver, edge, server)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def deep() -> str:
    text = json.dumps({"alg": "RS256", "kid": "a", "x": "deep"}).replace('"deep"', 2_000 * "[" + 2_000 * "]")
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unsigned(header: Mapping[str, object]) -> str:
    return f"{part({'typ': 'JWT', 'kid': 'a', **header})}.{part(claims())}"


def with_the_public_key_as_secret() -> str:
    text = unsigned({"alg": "HS256"})
    secret = key("a").certificate.encode()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def tampered() -> str:
    header, _, signature = token().split(".")
    return f"{header}.{part(claims(email='else@example.com'))}.{signature}"


LOOP = pytest.mark.parametrize("on_a_loop", [False, True], ids=["thread", "loop"])
NOW = int(time.time())
# By then certificates have to be fetched before a token is let in.
LATER = USUAL_LIFE + STALE_LIFE
NAN, INFINITY = float("nan"), float("inf")

UNKNOWN = {
    "no token": lambda: None,
    "an empty one": lambda: "",
    "garbage": lambda: "garbage",
    "garbage in three parts": lambda: "a.b.c",
    "no base64": lambda: "!.!.!",
    "a JSON list": lambda: f"{part([])}.{part([])}.AAAA",
    "a header that is nested too deep": lambda: f"{deep()}.{part(claims())}.AAAA",
    "a very long one": lambda: "a" * 100_000,
    "expired": lambda: token(iat=NOW - 7200, exp=NOW - 3600),
    "not yet valid": lambda: token(iat=NOW + 3600, exp=NOW + 7200),
    "without an expiry": lambda: token(exp=None),
    "an expiry that is no number": lambda: token(exp=NAN),
    "an expiry without end": lambda: token(exp=INFINITY),
    "an expiry that is a truth value": lambda: token(exp=True),
    "an expiry in a text": lambda: token(exp=str(NOW + 3600)),
    "a very late expiry": lambda: token(exp=10**400),
    "an issue that is no number": lambda: token(iat=NAN),
    "an issue before all times": lambda: token(iat=-INFINITY),
    "several issuers": lambda: token(iss=["https://accounts.google.com"]),
    "an issuer in an object": lambda: token(iss={"https://accounts.google.com": 1}),
    "another audience": lambda: token(aud="https://else.example/"),
    "several audiences": lambda: token(aud=[AUDIENCE]),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://accounts.example.com"),
    "no issuer": lambda: token(iss=None),
    "another key": lambda: key("c").signed(claims(), key_id="a"),
    "an unknown key id": lambda: key("c").signed(claims()),
    "alg none": lambda: f"{unsigned({'alg': 'none'})}.",
    "alg none with a signature": lambda: f"{unsigned({'alg': 'none'})}.{token().rpartition('.')[2]}",
    "alg None": lambda: f"{unsigned({'alg': None})}.AAAA",
    "HS256 with the public key as secret": with_the_public_key_as_secret,
    "ES256": lambda: f"{unsigned({'alg': 'ES256'})}.{token().rpartition('.')[2]}",
    "no key id": lambda: f"{part({'alg': 'RS256'})}.{part(claims())}.AAAA",
    "tampered with": tampered,
    "a signature that was removed": lambda: f"{unsigned({'alg': 'RS256'})}.SIGNATURE_REMOVED_BY_GOOGLE",
}
FORBIDDEN = {
    "another e-mail": lambda: token(email="else@project-1.iam.gserviceaccount.com"),
    "no e-mail": lambda: token(email=None),
    "an e-mail that isn't verified": lambda: token(email_verified=False),
    "an e-mail of which it isn't said": lambda: token(email_verified=None),
    "an e-mail that is verified by a text": lambda: token(email_verified="true"),
    "e-mails": lambda: token(email=[ACCOUNT]),
}


@pytest.mark.parametrize("shown", UNKNOWN.values(), ids=UNKNOWN)
def test_who_is_not_known_is_refused(door, shown, caplog):
    """Without a good token it is 401; nothing is read, decoded or run, and neither answer nor log holds the token."""
    caplog.set_level(logging.DEBUG)
    text = shown()
    response = door.knock(text)
    assert (401, "Bearer") == (response.status, response.headers.get("WWW-Authenticate"))
    assert door.untouched
    for piece in (text or "").split("."):
        assert len(piece) < 5 or (piece not in caplog.text and piece.encode() not in response.body)


@pytest.mark.parametrize("shown", [shown for name, shown in UNKNOWN.items() if name.startswith(("alg", "HS", "ES"))])
def test_the_algorithm_is_looked_at_first(door, shown):
    """For another algorithm than the one that Google signs with no key is even looked for."""
    assert 401 == door.knock(shown()).status
    assert 0 == door.server.asked


@pytest.mark.parametrize("shown", FORBIDDEN.values(), ids=FORBIDDEN)
def test_who_may_not_is_refused(door, shown):
    """A good token of somebody else is 403; nothing is read, decoded or run."""
    assert 403 == door.knock(shown()).status
    assert door.untouched


@LOOP
def test_who_may_is_let_in(door, on_a_loop):
    """Both spellings of the issuer, any case of the scheme, a clock that is a little off."""
    now = int(time.time())  # the tests may have begun a while ago
    for shown in (token(), token(iss="accounts.google.com"), token("b"), token(iat=now + 20), token(exp=now - 5)):
        assert 200 == door.knock(shown, on_a_loop=on_a_loop).status
    assert 200 == door.knock(None, authorization=f"bearer  {token()}", on_a_loop=on_a_loop).status
    assert 401 == door.knock(None, authorization=f"Basic {token()}", on_a_loop=on_a_loop).status
    assert 6 == len(door.ran)


@LOOP
def test_a_large_or_senseless_request_without_a_token(door, on_a_loop):
    """It is 401, whatever it says of its body."""
    for length in (str(10 * 1024 * 1024), "x"):
        assert 401 == door.request({"content-length": length}, on_a_loop=on_a_loop).status
    assert 413 == door.knock(token(), on_a_loop=on_a_loop, **{"content-length": str(10 * 1024 * 1024)}).status
    assert door.untouched


def test_certificates_are_kept(door):
    """They are fetched once for many requests, for as long as their server says."""
    for _ in range(5):
        assert 200 == door.knock(token()).status
    assert 1 == door.server.asked


@LOOP
def test_keys_are_rotated(door, on_a_loop):
    """A key id that isn't known has them fetched once more: a token of the new key is good at once."""
    assert 200 == door.knock(token(), on_a_loop=on_a_loop).status
    door.server.keys = ["b", "c"]
    assert 200 == door.knock(token("c"), on_a_loop=on_a_loop).status
    assert 401 == door.knock(token("a"), on_a_loop=on_a_loop).status
    assert 2 == door.server.asked


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By which certificates signatures were checked."""
    certificates: list[str] = []

    def noted(certificate: str) -> object:
        certificates.append(certificate)
        return verifier_of(certificate)

    monkeypatch.setattr(oidc, "verifier_of", noted)
    return certificates


@LOOP
def test_a_token_that_comes_again_is_known(door, checked, on_a_loop):
    """Its signature is checked once, as a service sends one token with many pushes; nobody else's is taken for it."""
    shown = token()
    for _ in range(3):
        assert 200 == door.knock(shown, on_a_loop=on_a_loop).status
    assert 1 == len(checked)
    for other in (f"{shown[:-2]}AA", shown.removesuffix(shown[-1]), tampered(), f"{shown}.AAAA"):
        assert 401 == door.knock(other, on_a_loop=on_a_loop).status
    assert 200 == door.knock(token(sub="2"), on_a_loop=on_a_loop).status
    assert 3 == len(door.ran) - 1


def test_a_known_token_ends_when_it_says(door, checked, monkeypatch):
    """Its times are looked at each time."""
    shown = token(exp=int(time.time()) + 600)
    assert 200 == door.knock(shown).status
    now = time.time()
    monkeypatch.setattr(oidc.time, "time", lambda: now + 600 + oidc.SKEW_SECONDS + 1)
    assert 401 == door.knock(shown).status
    assert 1 == len(checked)


def test_a_known_token_ends_with_its_key(checked):
    """One that was withdrawn, or replaced under the same id, is believed for as long as its certificate, not longer."""
    clock = FakeClock()
    with (
        certificates_of("a", "b") as server,
        pushed(clock=clock) as (app, driver),
        edge_of(app, PushSettings(certificates_url=server.url)) as edge,
    ):
        door = Door(app, driver, edge, server)
        shown = token()
        assert 200 == door.knock(shown).status
        server.body = json.dumps({"a": key("a").public.decode()}).encode()
        clock.advance(LATER)
        assert 200 == door.knock(shown).status
        assert [key("a").certificate, key("a").public.decode()] == checked
        server.body = json.dumps({"a": key("c").certificate}).encode()
        clock.advance(LATER)
        assert 401 == door.knock(shown).status
        server.body = json.dumps({"b": key("b").certificate}).encode()
        clock.advance(LATER)
        assert 401 == door.knock(shown).status
        server.status = 500
        clock.advance(LATER)
        assert 503 == door.knock(shown).status


def test_known_tokens_are_few(door, checked, monkeypatch):
    """The oldest is forgotten for a new one; those of senders that may not push are never kept."""
    monkeypatch.setattr(oidc, "MOST_KNOWN", 2)
    first, second, third = (token(sub=str(number)) for number in range(3))
    stranger = token(aud="https://else.example/")
    for shown, status in ((first, 200), (second, 200), (stranger, 401), (first, 200), (second, 200)):
        assert status == door.knock(shown).status
    assert 3 == len(checked)
    for shown in (third, second, third):
        assert 200 == door.knock(shown).status
    assert 4 == len(checked)
    assert 200 == door.knock(first).status
    assert 5 == len(checked)


def test_a_known_token_is_shown_nowhere(door):
    """Anybody who reads it could push."""
    shown = token()
    door.knock(shown)
    (known,) = door.edge.verifier._known.values()
    assert shown[:20] not in repr(known)


def test_made_up_key_ids_fetch_nothing(door):
    """Of many unknown ids one fetches, in half a minute."""
    assert 200 == door.knock(token()).status
    for number in range(20):
        assert 401 == door.knock(key("c").signed(claims(), key_id=f"made-up-{number}")).status
    assert 2 == door.server.asked


@LOOP
def test_certificates_that_can_not_be_had(door, on_a_loop, caplog):
    """It is 503, since the sender may be fine; it is logged; and the server isn't asked for each request."""
    door.server.status = 500
    for _ in range(5):
        response = door.knock(token(), on_a_loop=on_a_loop)
        assert (503, "5") == (response.status, response.headers["Retry-After"])
    assert 1 == door.server.asked
    assert door.untouched
    assert "the certificates can't be fetched" in caplog.text
    assert token() not in caplog.text


def test_no_refusal_takes_long(door):
    """Each is said in less than 50 ms, at the best of five: nothing is fetched or waited for."""
    door.knock(token())
    for make in (*UNKNOWN.values(), *FORBIDDEN.values()):
        shown, times = make(), []
        for _ in range(5):
            began = time.perf_counter()
            door.knock(shown)
            times.append(time.perf_counter() - began)
        assert min(times) < 0.05


def test_a_front_end_that_verifies(backend):
    """Where it is said that one does, a token whose signature it removed is believed, its claims still checked."""
    app, _ = backend
    app.task("t")(lambda: None)

    def removed(**changed: object) -> str:
        return f"{part({'alg': 'RS256', 'kid': 'a'})}.{part(claims(**changed))}.SIGNATURE_REMOVED_BY_GOOGLE"

    # Nothing answers there: no certificate is needed for such a token.
    settings = PushSettings(verified_in_front=True, certificates_url="http://127.0.0.1:9/")
    with edge_of(app, settings) as edge:

        def status(shown: str) -> int:
            headers, body = push("t", token=shown)
            return edge.handle(headers, lambda: body).status

        assert 200 == status(removed())
        assert 401 == status(removed(aud="https://else.example/"))
        assert 401 == status(removed(exp=NOW - 3600))
        assert 401 == status(removed(exp="soon"))
        assert 401 == status(removed(iss="else"))
        assert [401] * 3 == [status(removed(exp=wrong)) for wrong in (NAN, INFINITY, True)]
        assert [401] * 3 == [status(removed(iat=wrong)) for wrong in (NAN, NOW + 3600, None)]
        assert [401] * 3 == [status(removed(iss=wrong)) for wrong in ([], {}, ["accounts.google.com"])]
        assert 403 == status(removed(email="else@example.com"))
        assert 503 == status(token())


@LOOP
@pytest.mark.parametrize("front", [False, True], ids=["verified here", "verified in front"])
def test_the_front_end_verified_another_token(front, on_a_loop, caplog):
    """Cloud Run checks only X-Serverless-Authorization where there is one: what lies beside it may be made up."""
    made_up = f"{part({'alg': 'RS256', 'kid': 'a'})}.{part(claims())}.SIGNATURE_REMOVED_BY_GOOGLE"
    more = {"x-serverless-authorization": f"Bearer {token()}"}
    with (
        certificates_of("a") as server,
        pushed() as (app, driver),
        edge_of(app, PushSettings(verified_in_front=front, certificates_url=server.url)) as edge,
    ):
        door = Door(app, driver, edge, server)
        assert 401 == door.knock(made_up, on_a_loop=on_a_loop, **more).status
        assert door.untouched
        if front:
            assert "X-Serverless-Authorization" in caplog.text
            empty = {"x-serverless-authorization": ""}
            assert 401 == door.knock(made_up, on_a_loop=on_a_loop, **empty).status
            assert 200 == door.knock(made_up, on_a_loop=on_a_loop).status
        else:
            # The signature is checked here: nothing hangs on what the service in front did.
            assert 200 == door.knock(token(), on_a_loop=on_a_loop, **more).status


@pytest.mark.parametrize("front", [False, True], ids=["verified here", "verified in front"])
def test_two_tokens_are_refused(backend, front):
    """Whatever looked at one of them before may have looked at the other. A server may join their headers, too."""
    app, _ = backend
    ran = declare(app)

    def shown(email: str) -> str:
        signed = token(email=email)
        return f"{signed.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE" if front else signed

    with certificates_of("a") as server:
        settings = PushSettings(verified_in_front=front, certificates_url=server.url)
        with edge_of(app, settings) as edge:

            def statuses(*emails: str) -> list[int]:
                headers, body = push("t", {"n": 1})
                tokens = [("authorization", f"Bearer {shown(email)}") for email in emails]
                both = Headers([*headers.items(), *tokens])
                return [
                    posted(cloudq.push.asgi(edge), list(both), body).status_code,
                    Client(cloudq.push.wsgi(edge)).post("/", headers=both, data=body).status_code,
                    cloudq.push.handle(edge, both, body).status,
                ]

            assert [401] * 3 == statuses("else@example.com", ACCOUNT)
            assert [401] * 3 == statuses(ACCOUNT, "else@example.com")
            assert [] == ran
            assert [200] * 3 == statuses(ACCOUNT)


@pytest.mark.parametrize("front", [False, True], ids=["verified here", "verified in front"])
def test_a_clock_that_is_ahead_is_named(backend, front, caplog):
    """A token from the future has a good signature: what is wrong is a clock, and the log says so, and by how much."""
    app, _ = backend
    issued = int(time.time()) + 600
    shown = token(iat=issued, exp=issued + 3600)
    if front:
        shown = f"{shown.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    with certificates_of("a") as server:
        settings = PushSettings(verified_in_front=front, certificates_url=server.url)
        with edge_of(app, settings) as edge:
            headers, body = push("t", token=shown)
            assert 401 == edge.handle(headers, lambda: body).status
    assert re.search(r"issued [56]\d\d s from now: the clock of its issuer is ahead", caplog.text)
    assert "signature is wrong" not in caplog.text


def test_others_may_be_named(backend):
    """Accounts and audiences of the settings go before those of the URL."""
    app, _ = backend
    app.task("t")(lambda: None)
    with certificates_of("a") as server:
        settings = PushSettings(certificates_url=server.url, audiences=["x", "y"], service_accounts=["e@x", "f@x"])
        with edge_of(app, settings) as edge:

            def status(**changed: object) -> int:
                headers, body = push("t", token=token(**changed))
                return edge.handle(headers, lambda: body).status

            assert [200, 200] == [status(aud="x", email="e@x"), status(aud="y", email="f@x")]
            assert [401, 403] == [status(email="e@x"), status(aud="x")]


def test_the_certificates_url_of_the_environment(backend, monkeypatch):
    """`CLOUDQ_OIDC_CERTS_URL` names where the keys are, for an emulator."""
    app, _ = backend
    app.task("t")(lambda: None)
    with certificates_of("a") as server, edge_of(app, PushSettings()) as edge:
        monkeypatch.setenv(CERTIFICATES_VARIABLE, server.url)
        headers, body = push("t", token=token())
        assert 200 == edge.handle(headers, lambda: body).status
        assert 1 == server.asked


@pytest.mark.parametrize("url", ["http://keys.example/", "ftp://127.0.0.1/", "keys", "", "https://", "http://[::x]/"])
def test_keys_come_from_where_nobody_changes_them(backend, url, monkeypatch):
    """By https, or from this machine; anything else is refused at the start."""
    app, _ = backend
    monkeypatch.setenv(CERTIFICATES_VARIABLE, url or "http://keys.example/")
    with edge_of(app, PushSettings()) as edge, pytest.raises(ConfigurationError, match="certificates"):
        edge.open()


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"google", "uvicorn", "cryptography", "django"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import cloudq, cloudq.push
from cloudq.drivers.memory import MemoryDriver
from cloudq.push.server import PushWorker

app = cloudq.App("memory://")
settings = cloudq.push.PushSettings(service_accounts=["a@b"], audiences=["c"])
errors = []
for attempt in (
    lambda: cloudq.push.PushEdge(app, settings).open(),
    lambda: PushWorker(app, cloudq.push.PushSettings(insecure_no_auth=True)),
    lambda: cloudq.push.django(app),
):
    try:
        attempt()
    except cloudq.ConfigurationError as error:
        errors.append(error.hint)
assert errors == ["pip install 'cloudq[cloudtasks]'"] * 2 + ["pip install django"], errors
print("works")
"""


@pytest.mark.slow
def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    """Without google-auth, uvicorn or Django the error says what to install; `cloudq.push` itself needs none."""
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "works" == result.stdout.strip(), result.stderr
