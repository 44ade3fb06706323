"""Certificates are fetched within bounds, kept as long as they may be, and used a little longer if they must."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest

from cloudq.push import certificates
from cloudq.push.certificates import Certificates, CertificatesUnavailable, fetch_certificates, is_loopback
from cloudq.testing.clock import FakeClock
from tests.unit.push.fakes import certificates_of, key

HOUR = timedelta(hours=1)


class Source:
    """Gives keys, or fails, and counts."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids
        self.life: timedelta | None = None
        self.error: Exception | None = None
        self.hold: threading.Event | None = None
        self.asked = 0

    def __call__(self, _url: str) -> tuple[Mapping[str, str], timedelta | None]:
        self.asked += 1
        if self.hold is not None:
            assert self.hold.wait(60)
        if self.error is not None:
            raise self.error
        return {name: f"PEM {name}" for name in self.ids}, self.life


def setting(*ids: str) -> tuple[FakeClock, Source, Certificates]:
    clock, source = FakeClock(), Source(*ids)
    return clock, source, Certificates(clock=clock, fetch=source)


def found(certs: Certificates, key_id: str) -> str | None:
    """What is found once the fetch, if any, is over: whether one waits for it or not."""
    wait_for_fetch(certs, certs.missing(key_id))
    return certs.find(key_id)


def wait_for_fetch(certs: Certificates, flight: Future[None] | None = None) -> None:
    """Waits until no fetch is under way."""
    flight = flight or certs._flight
    if flight is not None:
        flight.result(60)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, HOUR),
        (timedelta(hours=6), timedelta(hours=6)),
        (timedelta(0), timedelta(minutes=1)),
        (timedelta(days=300), timedelta(days=1)),
    ],
)
def test_they_are_kept_as_long_as_their_server_says(said, kept):
    """An hour where it says nothing; at least a minute, at most a day."""
    clock, source, certs = setting("a")
    source.life = said
    assert "PEM a" == found(certs, "a")
    clock.advance(kept - timedelta(seconds=1))
    assert ("PEM a", 1) == (found(certs, "a"), source.asked)
    clock.advance(timedelta(seconds=1))
    assert ("PEM a", 2) == (found(certs, "a"), source.asked)


def test_stale_ones_are_used_for_an_hour():
    """While their server can't be reached, what was fetched before goes on being used; then nobody can be verified."""
    clock, source, certs = setting("a")
    found(certs, "a")
    source.error = OSError("away")
    clock.advance(HOUR)
    assert ("PEM a", True) == (found(certs, "a"), certs.check())
    with pytest.raises(CertificatesUnavailable):
        found(certs, "b")
    clock.advance(HOUR)
    with pytest.raises(CertificatesUnavailable):
        found(certs, "a")
    assert not certs.check()
    source.error = None
    clock.advance(timedelta(seconds=2))
    assert ("PEM a", True) == (found(certs, "a"), certs.check())


def test_nobody_waits_for_what_may_still_be_used():
    """While a fetch hangs, a known key is found at once, in the hour after its freshness; an unknown one is awaited."""
    clock, source, certs = setting("a")
    found(certs, "a")
    goes_on = threading.Event()
    source.hold = goes_on
    clock.advance(HOUR)
    assert [(None, "PEM a")] * 3 == [(certs.missing("a"), certs.find("a")) for _ in range(3)]
    flight = certs.missing("b")
    assert flight is not None
    assert not flight.done()
    clock.advance(HOUR)
    assert flight is certs.missing("a"), "too old to be used"
    goes_on.set()
    flight.result(60)
    assert ("PEM a", 2) == (certs.find("a"), source.asked)


def test_a_check_ends_an_outage():
    """Whoever heeds it sends nothing meanwhile: so it has them fetched itself, at most once in two seconds."""
    clock, source, certs = setting("a")
    assert (True, 0) == (certs.check(), source.asked), "nothing is known yet"
    source.error = OSError("away")
    with pytest.raises(CertificatesUnavailable):
        found(certs, "a")
    assert ([False] * 5, 1) == ([certs.check() for _ in range(5)], source.asked)
    clock.advance(timedelta(seconds=2))
    assert not certs.check()
    wait_for_fetch(certs)
    assert 2 == source.asked
    source.error = None
    clock.advance(timedelta(seconds=2))
    assert not certs.check()
    wait_for_fetch(certs)
    assert (True, 3) == (certs.check(), source.asked)


def test_a_thread_that_cannot_be_started_is_one_failed_fetch(monkeypatch):
    """The next one begins after the pause: else nobody could be verified any more, once the keys are over."""
    clock, source, certs = setting("a")
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
        with pytest.raises(CertificatesUnavailable):
            found(certs, "a")
    clock.advance(timedelta(seconds=2))
    assert found(certs, "a") is not None
    assert 1 == source.asked


def test_a_made_up_key_id_in_an_outage():
    """Known senders are verified all the same, so that the check is passed, during the outage and after it."""
    _, source, certs = setting("a")
    found(certs, "a")
    source.error = OSError("away")
    with pytest.raises(CertificatesUnavailable):
        found(certs, "made-up")
    assert (True, "PEM a") == (certs.check(), found(certs, "a"))
    source.error = None
    assert (True, "PEM a") == (certs.check(), found(certs, "a"))


def test_after_a_failure_there_is_a_pause():
    """A server that is away is asked again after two seconds, not by every request."""
    clock, source, certs = setting("a")
    source.error = OSError("away")
    for _ in range(10):
        with pytest.raises(CertificatesUnavailable):
            found(certs, "a")
    assert 1 == source.asked
    clock.advance(timedelta(seconds=2))
    source.error = None
    assert ("PEM a", 2) == (found(certs, "a"), source.asked)


def test_an_unknown_id_fetches_once_in_half_a_minute():
    """And isn't an error of ours."""
    clock, source, certs = setting("a")
    found(certs, "a")
    assert [None] * 5 == [found(certs, f"x{number}") for number in range(5)]
    assert 2 == source.asked
    clock.advance(timedelta(seconds=30))
    source.ids = ("a", "b")
    assert ("PEM b", 3) == (found(certs, "b"), source.asked)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_their_freshness_does_not_mind_a_clock_that_is_set(step):
    """They are fetched again when their time has passed, not when the clock says so; so are the pauses measured."""
    clock, source, certs = setting("a")
    found(certs, "a")
    clock.step(step)
    assert ("PEM a", 1) == (found(certs, "a"), source.asked)
    clock.advance(HOUR - timedelta(seconds=1))
    assert ("PEM a", 1) == (found(certs, "a"), source.asked)
    source.error = OSError("away")
    clock.advance(timedelta(seconds=1))
    assert ("PEM a", 2) == (found(certs, "a"), source.asked)
    clock.step(step)
    assert ("PEM a", 2) == (found(certs, "a"), source.asked)
    source.error = None
    clock.advance(timedelta(seconds=2))
    assert ("PEM a", 3) == (found(certs, "a"), source.asked)
    assert [None] * 2 == [found(certs, f"x{number}") for number in range(2)]
    clock.step(step)
    assert (None, 4) == (found(certs, "x3"), source.asked)


def test_those_who_wait_share_a_fetch():
    """Many requests at the start make one call."""
    goes_on = threading.Event()
    asked = []

    def slow(_url):
        asked.append(1)
        goes_on.wait(60)
        return {"a": "PEM"}, None

    certs = Certificates(fetch=slow)
    flights = [certs.missing("a") for _ in range(20)]
    goes_on.set()
    for flight in flights:
        flight.result(60)
    assert ("PEM", 1) == (certs.find("a"), len(asked))


def test_a_fetch():
    """PEM by key id, and for how long: what is said less how old it was."""
    with certificates_of("a") as server:
        server.headers = {"Cache-Control": "public, max-age=600, must-revalidate", "Age": "100"}
        assert ({"a": key("a").certificate}, timedelta(seconds=500)) == fetch_certificates(server.url)
        server.headers = {"Cache-Control": "no-store"}
        assert fetch_certificates(server.url)[1] is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (404, b"{}"),
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"keys": [{"kid": "a"}]}'),
        (200, b'{"kid-a": "not PEM"}'),
        (200, b'{"kid-a": "", "kid-b": "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n"}'),
        (200, b" " * (1024 * 1024 + 1)),
    ],
)
def test_what_is_no_answer(status, body):
    """Another status, something else than PEM texts by id, too much of it: an error, which is tried again."""
    with certificates_of("a") as server:
        server.status, server.body = status, body
        with pytest.raises(OSError, match="the answer"):
            fetch_certificates(server.url)


def test_what_is_no_certificate_is_left_out(caplog):
    """The others are taken, and it is said; a public key in PEM will do."""
    with certificates_of("a") as server:
        public = key("b").public.decode()
        server.body = json.dumps({"a": key("a").certificate, "b": public, "c": "not PEM"}).encode()
        assert {"a": key("a").certificate, "b": public} == fetch_certificates(server.url)[0]
    assert "1 of 3 certificates aren't readable" in caplog.text


def test_redirections_are_not_followed():
    """They could lead to where anybody may change the keys."""
    with certificates_of("a") as good, certificates_of("b") as server:
        server.status = 302
        server.headers = {"Location": good.url}
        with pytest.raises(OSError, match="302"):
            fetch_certificates(server.url)
        assert 0 == good.asked


def test_nobody_there():
    """A port that nobody listens on is an error."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="can't be reached"):
            fetch_certificates(f"http://127.0.0.1:{bound.getsockname()[1]}/")


def test_a_server_that_dawdles(monkeypatch):
    """A fetch is over in time, whether nothing comes or only a little now and then."""
    monkeypatch.setattr(certificates, "FETCH_SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(OSError, match="timed out"):
            fetch_certificates(url)
        listener.accept()[0].close()
        # What drips in comes before a read is over, however busy the machine is; only the whole takes too long.
        monkeypatch.setattr(certificates, "FETCH_SECONDS", 60)
        monkeypatch.setattr(certificates, "time", SimpleNamespace(monotonic=count(0, 10).__next__))

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, pytest.MonkeyPatch.context():
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b" ")
                        threading.Event().wait(0.01)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(OSError, match="too long"):
            fetch_certificates(url)
        thread.join(60)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - nobody listens there
        ("10.0.0.1", False),
        ("x.localhost.example", False),
        ("", False),
    ],
)
def test_this_machine(host, here):
    """Loopback addresses and localhost are this machine only."""
    assert here is is_loopback(host)
