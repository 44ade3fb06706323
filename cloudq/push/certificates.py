"""`Certificates`: the public keys that tokens are signed with: fetched, kept as long as their server says, rotated."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from functools import lru_cache
from http.client import HTTPException
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

    from google.auth.crypt import RSAVerifier

logger = SafeLogger("cloudq.push")

# Google's, in PEM, by key id: what google-auth's `id_token` uses by default (google-auth 2.62, 2026-11).
GOOGLE_CERTIFICATES: Final = "https://www.googleapis.com/oauth2/v1/certs"
# A fetch is over by then, whatever the server does. Those that wait for one wait a little longer.
FETCH_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = FETCH_SECONDS + 1
LARGEST: Final = 1024 * 1024
# How long what was fetched is taken for fresh: what the server says, within these bounds.
SHORTEST_LIFE: Final = timedelta(minutes=1)
USUAL_LIFE: Final = timedelta(hours=1)
LONGEST_LIFE: Final = timedelta(days=1)
# How much longer it is used while its server can't be reached.
STALE_LIFE: Final = timedelta(hours=1)
# How long to wait after a failed fetch before the next one.
AFTER_FAILURE: Final = timedelta(seconds=2)
# An unknown key id may mean that the keys were rotated. Made up ones must not make us fetch again and again.
BETWEEN_UNKNOWN: Final = timedelta(seconds=30)

# How many keys are kept as they were read. Google has two or three at a time.
MOST_READ: Final = 16

_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)

Fetched: TypeAlias = tuple[Mapping[str, str], "timedelta | None"]
"""PEM by key id, and for how long it is fresh, if the server said."""


class CertificatesUnavailable(Exception):
    """The certificates aren't available now, so no sender can be verified."""


class Certificates:
    """The certificates of one server. Thread-safe; fetches are made on a thread of their own, one at a time.

    Args:
        url: Where they are: a JSON object of PEM texts by key id.
        clock: Where the time comes from.
        fetch: Fetches them.

    Raises:
        ConfigurationError: The URL is neither `https://` nor on this machine.
    """

    def __init__(
        self,
        url: str = GOOGLE_CERTIFICATES,
        *,
        clock: Clock = SYSTEM_CLOCK,
        fetch: Callable[[str], Fetched] | None = None,
    ) -> None:
        check_url(url)
        self._url = url
        self._clock = clock
        self._fetch = fetch or fetch_certificates
        self._lock = threading.Lock()
        # All below is guarded by the lock.
        self._keys: Mapping[str, str] = {}
        self._fresh_until: timedelta | None = None
        self._failed_at: timedelta | None = None
        self._unknown_at: timedelta | None = None
        self._flight: Future[None] | None = None

    def check(self) -> bool:
        """Whether senders can be verified, as far as is known; `True` before the first fetch. Never waits.

        Where they can't, this has them fetched: a sender that obeys the answer sends no push that would.
        """
        with self._lock:
            now = self._clock.elapsed()
            if self._failed_at is None or self._usable(now):
                return True
            flight = self._take_off(now)
        self._launch(flight)
        return False

    def missing(self, key_id: str) -> Future[None] | None:
        """The fetch to wait for before `find`, started if need be; `None` if there is none to wait for.

        Nobody waits for a key that is there and may still be used: a server that hangs would hold up every push.
        """
        with self._lock:
            now = self._clock.elapsed()
            known = key_id in self._keys
            fresh = self._fresh_until is not None and now < self._fresh_until
            if fresh and known:
                return None
            flight = self._take_off(now, unknown=fresh)
            awaited = None if known and self._usable(now) else self._flight
        self._launch(flight)
        return awaited

    def find(self, key_id: str) -> str | None:
        """The certificate of that key in PEM, or `None` if there is none of that id.

        Raises:
            CertificatesUnavailable: It isn't known whether there is.
        """
        with self._lock:
            now = self._clock.elapsed()
            if not self._usable(now):
                raise CertificatesUnavailable("the certificates can't be fetched")
            found = self._keys.get(key_id)
            if found is None and (self._failed_at is not None or self._flight is not None):
                raise CertificatesUnavailable("the key is new, and the certificates can't be fetched")
            return found

    def _usable(self, now: timedelta) -> bool:
        """Whether the keys that are there may be used, fresh or stale. Called with the lock held."""
        return self._fresh_until is not None and now < self._fresh_until + STALE_LIFE

    def _take_off(self, now: timedelta, *, unknown: bool = False) -> Future[None] | None:
        """A new fetch, to be launched without the lock; `None` where one is under way, or it is too soon for another.

        Args:
            now: The present time.
            unknown: Whether an unknown key is all that asks for it.
        """
        if self._flight is not None or (self._failed_at is not None and now - self._failed_at < AFTER_FAILURE):
            return None
        if unknown:
            if self._unknown_at is not None and now - self._unknown_at < BETWEEN_UNKNOWN:
                return None
            self._unknown_at = now
        self._flight = Future()
        return self._flight

    def _launch(self, flight: Future[None] | None) -> None:
        if flight is None:
            return
        try:
            threading.Thread(target=self._fly, args=(flight,), name="cloudq-certificates", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            logger.error("no thread can be started to fetch the certificates: %s", error)  # noqa: TRY400 - as below
            self._land(flight, None, None)

    def _fly(self, flight: Future[None]) -> None:
        try:
            keys, life = self._fetch(self._url)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, who waits has to be told
            logger.error("the certificates can't be fetched from %s: %s", self._url, error)  # noqa: TRY400 - the reason is the error's text
            self._land(flight, None, None)
        else:
            self._land(flight, keys, life)

    def _land(self, flight: Future[None], keys: Mapping[str, str] | None, life: timedelta | None) -> None:
        with self._lock:
            now = self._clock.elapsed()
            if keys is None:
                self._failed_at = now
            else:
                fresh = USUAL_LIFE if life is None else min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
                self._keys, self._fresh_until, self._failed_at = keys, now + fresh, None
            self._flight = None
        flight.set_result(None)


def fetch_certificates(url: str) -> Fetched:
    """Fetches certificates: bounded in time and size, without redirections.

    Raises:
        OSError: The server can't be reached, takes too long, or answers something else.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    deadline = time.monotonic() + FETCH_SECONDS
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - check_url has seen it
    try:
        with _opener(url).open(request, timeout=FETCH_SECONDS) as response:
            body = b""
            # Piece by piece: the time-out is one of each read.
            while piece := response.read1(64 * 1024):
                body += piece
                if len(body) > LARGEST:
                    raise OSError("the answer is too large")
                if time.monotonic() > deadline:
                    raise TimeoutError("the answer takes too long")
            life = _life_of(response.headers.get("Cache-Control", ""), response.headers.get("Age", ""))
    except HTTPError as error:
        error.close()
        raise OSError(f"the answer is {error.code}") from None
    except URLError as error:
        raise OSError(f"it can't be reached: {error.reason}") from error
    except HTTPException as error:
        raise OSError(f"the answer isn't HTTP: {type(error).__name__}") from error
    return _parse(body), life


def check_url(url: str) -> None:
    """Refuses to take keys from where anybody on the way could change them.

    Raises:
        ConfigurationError: The URL is neither `https://` nor `http://` on this machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise ConfigurationError(
            "certificates aren't fetched from that URL",
            hint="an https:// URL, or http:// on this machine, for tests",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to it."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # Servers that listen on both families name the loopback of the older one like this; Python 3.11 doesn't know it.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _opener(url: str) -> OpenerDirector:
    from urllib.request import HTTPErrorProcessor, HTTPSHandler, ProxyHandler, build_opener

    class NoRedirection(HTTPErrorProcessor):
        def http_response(self, request: object, response: object) -> object:  # noqa: ARG002 - urllib's signature
            if getattr(response, "status", 0) != 200:
                raise OSError(f"the answer is {getattr(response, 'status', 'none')}")
            return response

        https_response = http_response

    handlers: list[object] = [NoRedirection(), HTTPSHandler(context=ssl.create_default_context())]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(ProxyHandler({}))  # a proxy's loopback is another machine's
    return build_opener(*handlers)  # type: ignore[arg-type]  # handlers, as it takes


def _parse(body: bytes) -> Mapping[str, str]:
    try:
        keys = msgspec.json.decode(body, type=dict[str, str])
    except (ValueError, RecursionError) as error:
        raise OSError("the answer is no JSON object of certificates by key id") from error
    readable = {key_id: pem for key_id, pem in keys.items() if _is_readable(pem)}
    if not readable:
        raise OSError("the answer holds no certificate")
    if len(readable) < len(keys):
        logger.warning("%d of %d certificates aren't readable, and are left out", len(keys) - len(readable), len(keys))
    return readable


def _is_readable(pem: str) -> bool:
    """Whether it is a certificate or a public key in PEM: what a signature can be checked with."""
    try:
        verifier_of(pem)
    except Exception:  # noqa: BLE001 - whatever the library raises for it, it can't be used
        return False
    return True


@lru_cache(maxsize=MOST_READ)
def verifier_of(pem: str) -> RSAVerifier:
    """What checks signatures by that certificate or public key: reading it takes as long as checking one.

    Raises:
        ValueError: It is neither.
    """
    from google.auth.crypt import RSAVerifier

    made: RSAVerifier = RSAVerifier.from_string(pem)
    return made


def _life_of(cache_control: str, age: str) -> timedelta | None:
    found = _MAX_AGE.search(cache_control)
    if found is None:
        return None
    spent = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    return timedelta(seconds=max(0, int(found[1]) - spent))
