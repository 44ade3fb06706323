"""The botocore client: how it is set up, and that a fork gets one of its own."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from botocore.validate import ParamValidationDecorator

from cloudq.drivers.sqs.client import Clients, open_client
from cloudq.errors import ConfigurationError


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


def test_the_user_agent_is_the_sdks_own_and_made_once(monkeypatch):
    """It is given as a whole, so that botocore doesn't put it together twice for each call."""
    client = open_client("eu-west-1", None)
    creator = client._user_agent_creator
    monkeypatch.setattr(creator, "_build_sdk_metadata", lambda: pytest.fail("put together once more"))
    assert creator.to_string().startswith("Boto3/")
    assert "Botocore" in creator.to_string()
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
