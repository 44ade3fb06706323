"""The botocore client: how it is set up, and that a fork gets one of its own."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials
from botocore.validate import ParamValidationDecorator

from cloudq.aws_wire.bounded import left
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.client import Clients, _refuse_late_patches, open_client
from cloudq.errors import BackendUnavailable, ConfigurationError


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


def test_clients_are_made_by_boto3s_session_where_boto3_is_loaded(monkeypatch):
    """Tracers (OpenTelemetry's boto3sqs, say) wrap its `client`."""
    made = []

    class Session:
        def __init__(self, *, botocore_session):
            self._core = botocore_session

        def client(self, service, **given):
            made.append(service)
            return self._core.create_client(service, **given)

    monkeypatch.setitem(sys.modules, "boto3.session", SimpleNamespace(Session=Session))
    open_client("eu-west-1", None).close()
    assert ["sqs"] == made


@pytest.mark.parametrize("there", [{}, {"boto3.session": SimpleNamespace()}], ids=["no", "half"])
def test_boto3_isnt_needed(there, monkeypatch):
    """A client is botocore's where boto3 isn't loaded, or is just being loaded by another thread; none loads it."""
    monkeypatch.delitem(sys.modules, "boto3", raising=False)
    monkeypatch.delitem(sys.modules, "boto3.session", raising=False)
    for name, module in there.items():
        monkeypatch.setitem(sys.modules, name, module)
    open_client("eu-west-1", None).close()
    assert "boto3" not in sys.modules


def test_the_user_agent_is_the_sdks_own_and_made_once(monkeypatch):
    """It is given as a whole, so that botocore doesn't put it together twice for each call."""
    client = open_client("eu-west-1", None)
    creator = client._user_agent_creator
    monkeypatch.setattr(creator, "_build_sdk_metadata", lambda: pytest.fail("put together once more"))
    assert "Botocore/" in creator.to_string()
    sent = []

    def refuse(request, **_):
        sent.append(request.headers["User-Agent"])
        raise ConnectionError("far enough")

    client.meta.events.register("before-send", refuse)
    monkeypatch.setattr(client._request_signer, "sign", lambda *_, **__: None)
    with pytest.raises(ConnectionError):
        client.get_queue_url(QueueName="q")
    assert [creator.to_string()] == [agent.decode() for agent in sent]
    client.close()


def test_a_profile_that_is_not_there_is_a_matter_of_configuration(monkeypatch):
    """The SDK says so as soon as its session is made."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="nobody"):
        open_client("eu-west-1", None)


def test_the_endpoint_may_come_from_the_environment(monkeypatch):
    """As the SDK reads it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    client = open_client("eu-west-1", None)
    assert "http://127.0.0.1:4566" == client.meta.endpoint_url
    client.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside other tests' threads
def test_a_child_process_has_a_client_of_its_own():
    """Connections aren't shared with the parent, which keeps its own."""
    clients = Clients(lambda: SimpleNamespace(pid=os.getpid(), close=lambda: None))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        clients.after_fork()
        os.write(write, str(clients.get().pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert str(child).encode() == os.read(read, 20)
    assert os.getpid() == clients.get().pid
    os.close(read)
    os.close(write)


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
    assert time.monotonic() - began < 10


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
    assert time.monotonic() - began < 10
    return result.error


def test_a_program_that_was_patched_too_late_is_told_so(monkeypatch):
    """What gevent does to `ssl` after the SDK was imported: an error that says what to do, instead of a recursion."""
    import ssl

    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (ssl.SSLContext,), {}))
    with pytest.raises(ConfigurationError, match="has patched this program after the AWS SDK") as caught:
        open_client("eu-west-1", "http://127.0.0.1:9")
    assert "gunicorn --preload" in str(caught.value)


def test_a_stand_in_for_the_network_is_no_late_patch(monkeypatch):
    """mocket puts a class of another kind in that place, for tests that open their driver under it."""
    import ssl

    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (), {}))
    _refuse_late_patches()
