"""Botocore clients: how they are made, whose they are, and that a fork gets one of its own."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from cloudq.aws_wire.clients import Clients, Service, open_client, refuse_late_patches
from cloudq.errors import ConfigurationError

SQS = Service(name="sqs", title="Amazon SQS", hint="sqs://REGION names the region", read_timeout=30, pool=8)


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
    open_client(SQS, "eu-west-1", None).close()
    assert ["sqs"] == made


@pytest.mark.parametrize("there", [{}, {"boto3.session": SimpleNamespace()}], ids=["no", "half"])
def test_boto3_isnt_needed(there, monkeypatch):
    """A client is botocore's where boto3 isn't loaded, or is just being loaded by another thread; none loads it."""
    monkeypatch.delitem(sys.modules, "boto3", raising=False)
    monkeypatch.delitem(sys.modules, "boto3.session", raising=False)
    for name, module in there.items():
        monkeypatch.setitem(sys.modules, name, module)
    open_client(SQS, "eu-west-1", None).close()
    assert "boto3" not in sys.modules


def test_the_user_agent_is_the_sdks_own_and_made_once(monkeypatch):
    """It is given as a whole, so that botocore doesn't put it together twice for each call."""
    client = open_client(SQS, "eu-west-1", None)
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
        open_client(SQS, "eu-west-1", None)


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


def test_a_program_that_was_patched_too_late_is_told_so(monkeypatch):
    """What gevent does to `ssl` after the SDK was imported: an error that says what to do, instead of a recursion."""
    import ssl

    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (ssl.SSLContext,), {}))
    with pytest.raises(ConfigurationError, match="has patched this program after the AWS SDK") as caught:
        open_client(SQS, "eu-west-1", "http://127.0.0.1:9")
    assert "gunicorn --preload" in str(caught.value)


def test_a_stand_in_for_the_network_is_no_late_patch(monkeypatch):
    """mocket puts a class of another kind in that place, for tests that open their driver under it."""
    import ssl

    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (), {}))
    refuse_late_patches()


def test_a_service_has_settings_of_its_own():
    """Beside those that all have: one try a call, and nothing checked here."""
    client = open_client(
        SQS._replace(name="dynamodb", settings={"account_id_endpoint_mode": "disabled"}), "eu-west-1", None
    )
    config = client.meta.config
    assert ("disabled", 30, 8) == (config.account_id_endpoint_mode, config.read_timeout, config.max_pool_connections)
    assert 1 == config.retries["total_max_attempts"]
    assert "https://dynamodb.eu-west-1.amazonaws.com" == client.meta.endpoint_url
    client.close()
