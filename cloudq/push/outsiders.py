"""Who is refused where no tokens are asked for: all but programs on this machine that mean to push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.push.certificates import is_loopback
from cloudq.push.refusals import HttpRefusal

# What proxies write. Behind one every stranger comes from this machine.
_PROXIES: Final = frozenset(
    {
        "cf-connecting-ip",
        "client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "proxy",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-original-forwarded-for",
        "x-original-host",
        "x-originating-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
    }
)
_FORWARDED: Final = "x-forwarded-"
# What browsers write by themselves: no page can leave them out, and no program that pushes has a reason to send them.
_ORIGIN: Final = "origin"
_FETCHED: Final = "sec-fetch-"
# What a page may send anywhere without asking first (Fetch standard, "CORS-safelisted request-header").
_SIMPLE: Final = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
# The host of requests that no network carried: the test clients of Starlette, FastAPI and Django call it so.
_TEST_HOST: Final = "testserver"
# The address of the test client of Starlette and FastAPI.
_TEST_CLIENT: Final = "testclient"


def refuse_other_machines(address: str | None) -> None:
    """Refuses a request that comes from elsewhere.

    Args:
        address: The other end of the connection, as the server says; `None` where it doesn't say.

    Raises:
        HttpRefusal: 403.
    """
    if address is None or not (address == _TEST_CLIENT or is_loopback(address)):
        raise HttpRefusal(403, "without tokens, pushes are taken from this machine only")


def refuse_outsiders(headers: Mapping[str, str]) -> None:
    """Refuses a request that came through a proxy, from a web page, or for another host.

    Any page that is open on this machine can have its browser post here; by a name of its own that resolves to this
    machine (DNS rebinding) even as to itself.

    Args:
        headers: Of the request, by name, in lower case.

    Raises:
        HttpRefusal: 403; 415 for a type of content that pages can send without asking.
    """
    for name in headers:
        if name in _PROXIES or name.startswith(_FORWARDED):
            raise HttpRefusal(
                403, f"without tokens nothing is taken from a proxy, and the request has the header {name}"
            )
        if name == _ORIGIN or name.startswith(_FETCHED):
            raise HttpRefusal(403, f"without tokens nothing is taken from a browser, and the request has {name}")
    host = _name_in(headers.get("host", ""))
    if host and host != _TEST_HOST and not is_loopback(host):
        raise HttpRefusal(
            403, "without tokens pushes are taken for localhost only, and the request is for another host"
        )
    if (kind := headers.get("content-type", "").partition(";")[0].strip().lower()) in _SIMPLE:
        raise HttpRefusal(415, f"without tokens no {kind} is taken, as any web page can send it: use application/json")


def _name_in(host: str) -> str:
    """The name or address in a Host header, in lower case, without its port."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")
