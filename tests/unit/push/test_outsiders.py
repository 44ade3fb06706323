"""Without tokens nothing is taken from other machines, through proxies, or web pages, however it is mounted."""

from __future__ import annotations

import logging
import warnings

import pytest
from werkzeug.test import Client

import cloudq.push
from cloudq.push import PushSettings
from cloudq.push.outsiders import refuse_other_machines, refuse_outsiders
from cloudq.push.refusals import HttpRefusal
from tests.unit.push.fakes import certificates_of, declare, edge_of, posted, push, token

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette 1.10 wants another client than the one that its test client works with
    from starlette.testclient import TestClient

PROXIED = {
    "Forwarded": "for=192.0.2.1",
    "Via": "1.1 front",
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/tasks",
    "X-Client-IP": "192.0.2.1",
    "True-Client-IP": "192.0.2.1",
    "CF-Connecting-IP": "192.0.2.1",
}
BROWSED = {
    "Origin": "https://page.example",
    "origin": "null",
    "Sec-Fetch-Site": "cross-site",
    "sec-fetch-site": "same-origin",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "empty",
}
FOREIGN = [
    "page.example",
    "page.example:8080",
    "127.0.0.1.page.example",
    "localhost.page.example",
    "192.0.2.1",
    "[::2]:1",
]
OURS = ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "testserver", ""]
SIMPLE = [
    "text/plain",
    "Text/Plain; charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]

REFUSED = [
    *((name, value, 403) for name, value in PROXIED.items()),
    *((name, value, 403) for name, value in BROWSED.items()),
    *(("Host", host, 403) for host in FOREIGN),
    *(("Content-Type", kind, 415) for kind in SIMPLE),
]
ALL = pytest.mark.parametrize(
    ("name", "value", "status"), REFUSED, ids=[f"{one[0]} {n}" for n, one in enumerate(REFUSED)]
)


@ALL
def test_strangers_are_refused_everywhere(edge, name, value, status):
    """Under ASGI, WSGI and by hand alike; nothing runs."""
    ran = declare(edge.app)
    headers, body = push("t", {"n": 1})
    headers = {**{key: text for key, text in headers.items() if key != name.lower()}, name: value}
    assert status == posted(cloudq.push.asgi(edge), headers, body).status_code
    wsgi = Client(cloudq.push.wsgi(edge))
    here = {"REMOTE_ADDR": "127.0.0.1"}
    assert status == wsgi.post("/", headers=headers, data=body, environ_overrides=here).status_code
    assert status == cloudq.push.handle(edge, headers, body).status
    assert [] == ran


@pytest.mark.parametrize(
    ("name", "value"), [("X-Forwarded-For", "192.0.2.1"), ("Origin", "null"), ("Host", "page.example")]
)
def test_whoever_shows_a_token_may_come_any_way(backend, name, value):
    """The guards are for edges that ask for none: production lies behind proxies."""
    app, _ = backend
    ran = declare(app)
    with certificates_of("a") as server, edge_of(app, PushSettings(certificates_url=server.url)) as edge:
        headers, body = push("t", {"n": 1}, token=token(), headers={name.lower(): value})
        assert 200 == posted(cloudq.push.asgi(edge), headers, body).status_code
    assert [1] == ran


@pytest.mark.parametrize("host", OURS, ids=range(len(OURS)))
def test_this_machine_by_its_names(host):
    """With a port or without, in any case, with the root's dot, as an address of either family."""
    refuse_outsiders({"host": host, "content-type": "application/json"})


@pytest.mark.parametrize("client", [None, "127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_the_usual_test_client(edge, client):
    """That of Starlette and FastAPI needs no settings; nor do servers that listen on both families."""
    ran = declare(edge.app)
    more = {} if client is None else {"client": (client, 1)}
    headers, body = push("t", {"n": 1})
    with TestClient(cloudq.push.asgi(edge), **more) as called:
        assert 200 == called.post("/", content=body, headers=headers).status_code
    assert [1] == ran


@pytest.mark.parametrize("address", [None, "", "192.0.2.1", "::2", "::ffff:192.0.2.1", "testclient.example", "unix:"])
def test_other_machines(address):
    """What isn't known to be this machine is another one."""
    with pytest.raises(HttpRefusal) as caught:
        refuse_other_machines(address)
    assert 403 == caught.value.status


# What Chromium 156 sent with a page's requests, recorded by tests/integration/test_browser_push.py: fetch, beacons and
# forms; from a sandboxed frame; to a name of the page's own, which is no secure context and has no Sec-Fetch headers.
HINTS = {
    "sec-ch-ua-platform": '"Linux"',
    "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
    "sec-ch-ua-mobile": "?0",
    "connection": "keep-alive",
    "accept": "*/*",
}
PAGE = {"origin": "http://page.example:41299", "referer": "http://page.example:41299/"}
FETCH = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"}
TEXT = {"content-type": "text/plain;charset=UTF-8"}
FORM = {"cache-control": "max-age=0", "upgrade-insecure-requests": "1", "content-type": "text/plain"}
SENT_BY_CHROMIUM = {
    "fetch": {"host": "127.0.0.1:33357", **HINTS, **PAGE, **FETCH, **TEXT},
    "fetch without a type": {"host": "127.0.0.1:33357", **HINTS, **PAGE, **FETCH},
    "fetch in mode cors": {"host": "127.0.0.1:33357", **HINTS, **PAGE, **FETCH, **TEXT, "sec-fetch-mode": "cors"},
    "beacon": {"host": "127.0.0.1:33357", **HINTS, **PAGE, **FETCH, **TEXT, "sec-fetch-storage-access": "none"},
    "form": {
        "host": "127.0.0.1:33357",
        **HINTS,
        **PAGE,
        **FORM,
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "iframe",
    },
    "sandboxed frame": {"host": "127.0.0.1:33357", **HINTS, **FETCH, **TEXT, "origin": "null"},
    "own name": {"host": "shop.example:33357", "connection": "keep-alive", "accept": "*/*", **PAGE, **TEXT},
    "own name, form": {"host": "shop.example:33357", "connection": "keep-alive", **PAGE, **FORM},
    "own name, sandboxed frame": {"host": "shop.example:33357", "accept": "*/*", **TEXT, "origin": "null"},
}


@pytest.mark.parametrize("sent", SENT_BY_CHROMIUM.values(), ids=SENT_BY_CHROMIUM)
def test_what_a_real_browser_sends_is_refused(edge, sent):
    """By its origin; and without that by what else it says, so that no single header decides."""
    ran = declare(edge.app)
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}'
    for left_out in ("", "origin"):
        headers = {name: value for name, value in sent.items() if name != left_out}
        assert 403 == cloudq.push.handle(edge, headers, event).status
        typed = {**headers, "content-type": "application/cloudevents+json"}
        assert 403 == posted(cloudq.push.asgi(edge), typed, event).status_code
    assert [] == ran
    typed = {"host": "127.0.0.1:33357", "content-type": "application/cloudevents+json"}
    assert 200 == posted(cloudq.push.asgi(edge), typed, event).status_code


def test_a_refusal_says_why_in_the_log_only(edge, caplog):
    """The log names the header, not its value; the sender is told nothing but the status."""
    caplog.set_level(logging.WARNING)
    headers, body = push("t", {"n": 1}, headers={"x-forwarded-for": "192.0.2.77"})
    response = cloudq.push.handle(edge, headers, body)
    assert (403, b'{"error":"Forbidden"}') == (response.status, response.body)
    assert "x-forwarded-for" in caplog.text
    assert "192.0.2.77" not in caplog.text
