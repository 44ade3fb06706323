"""The botocore client: how it is set up for queues, and whose credentials it waits for."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials
from botocore.validate import ParamValidationDecorator

from cloudq.aws_wire.bounded import left
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.client import open_client
from cloudq.errors import BackendUnavailable


def test_the_client_leaves_retries_to_cloudq(monkeypatch):
    """One try a call, reads that outlast a long poll, connections for many threads, and no validation here."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    client = open_client("eu-west-1", None)
    config = client.meta.config
    assert 1 == config.retries["total_max_attempts"]
    assert config.read_timeout > 20
    assert 64 == config.max_pool_connections
    assert not isinstance(client._serializer, ParamValidationDecorator)
    client.close()


def test_the_endpoint_may_come_from_the_environment(monkeypatch):
    """As the SDK reads it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    client = open_client("eu-west-1", None)
    assert "http://127.0.0.1:4566" == client.meta.endpoint_url
    client.close()


# Seconds.
CALL = 2


@pytest.fixture
def over():
    """Set at the test's end, for what would wait."""
    event = threading.Event()
    yield event
    event.set()


def test_credentials_that_are_not_found_in_time(monkeypatch, over):
    """A metadata service that is silent, say: the driver isn't opened, and says why."""
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: over.wait(60))
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=r"credentials within 0\.2 s"):
        open_client("eu-west-1", None, timeout=timedelta(seconds=0.2))
    assert time.monotonic() - began < 30


class Source(CredentialProvider):
    """Credentials that end soon. New ones are given once `given` is set."""

    METHOD = "test"

    def __init__(self, left: timedelta) -> None:
        self._left = left
        self.given = threading.Event()
        self.asked = threading.Event()

    def load(self):
        return RefreshableCredentials.create_from_metadata(
            self._issue("OLD", self._left), refresh_using=self._renew, method=self.METHOD
        )

    def _renew(self):
        self.asked.set()
        self.given.wait(60)
        return self._issue("NEW", timedelta(hours=6))

    def _issue(self, key, left):
        expiry = (datetime.now(UTC) + left).isoformat()
        return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": expiry}


@pytest.mark.parametrize(("minutes", "signed"), [(12, True), (5, False)])
def test_credentials_that_are_not_renewed_in_time(monkeypatch, minutes, signed):
    """While the old ones hold for long enough the call is made by them; else it ends in time, and says why."""
    source = Source(timedelta(minutes=minutes))
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: source.load())
    sent, spare = [], []

    def refuse(request, **_):
        sent.append(request.headers["Authorization"])
        spare.append(left())
        raise ConnectionError("far enough")

    timeout = timedelta(seconds=3 * CALL)
    driver = SQSDriver("eu-west-1", endpoint_url="http://127.0.0.1:1", account="000000000001", timeout=timeout)
    driver.client.meta.events.register("before-send", refuse)
    try:
        error = send(driver)
        assert source.asked.is_set()
        if signed:
            assert b"Credential=OLD/" in sent[0]
            assert "far enough" in str(error)
            assert spare[0] > CALL / 4
        else:
            assert isinstance(error, BackendUnavailable)
            assert "credentials" in str(error)
            assert [] == sent
    finally:
        source.given.set()
    for _ in range(200):  # the call under way ends by itself, and the next ones are signed by what it brought
        sent.clear()
        send(driver)
        if sent and b"Credential=NEW/" in sent[0]:
            break
        source.given.wait(0.01)
    assert b"Credential=NEW/" in sent[0]
    driver.close()


def send(driver):
    began = time.monotonic()
    (result,) = driver.send([Outgoing(id="1", queue="q", body=b"{}")])
    assert time.monotonic() - began < 30
    return result.error
