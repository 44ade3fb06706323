"""The clients of DynamoDB: how they are set up, who makes their calls, and that a fork gets its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient
from wrapt import FunctionWrapper

from cloudq.aws_wire.clients import Clients
from cloudq.errors import ConfigurationError
from cloudq.stores.dynamodb.client import open_clients
from cloudq.stores.dynamodb.lean import LeanClient
from tests.chaos.raw_answers import RawServer
from tests.unit.aws_wire.test_both_wires import Recorder, said

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Of a server that says yes to all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    recorder = Recorder()
    recorder.answer = said({})
    with RawServer(recorder.respond) as server:
        clients = open_clients("eu-west-1", server.url, timeout=MINUTE)
        yield clients
        clients.close()


def test_each_call_is_tried_once_at_one_endpoint(clients: Clients) -> None:
    """Whatever the environment says: the store's callers try again, and the lean wire knows one endpoint."""
    config = clients.get().meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.account_id_endpoint_mode == "disabled"


def test_a_tracer_that_is_turned_on_later_sees_each_call(clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
    """As with queues: the wire steps aside, comes back, and says so once."""
    caplog.set_level(logging.INFO, logger="cloudq")
    seen: list[str] = []

    def tracer(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(args[0])
        return wrapped(*args, **kwargs)

    assert isinstance(clients.caller(), LeanClient)
    with mock.patch.object(BaseClient, "_make_api_call", FunctionWrapper(BaseClient._make_api_call, tracer)):
        for _ in range(2):
            clients.caller().put_item(TableName="claims", Item={"id": {"S": "1"}})
    clients.caller().put_item(TableName="claims", Item={"id": {"S": "1"}})
    assert seen == ["PutItem", "PutItem"]
    assert caplog.messages == [
        f"calls to Amazon DynamoDB are made by the SDK: BaseClient._make_api_call is replaced by {__name__}",
        "calls to Amazon DynamoDB that repeat are made by cloudq again, without the SDK",
    ]


def test_a_wire_that_there_is_not() -> None:
    """Refused, with those that there are."""
    with pytest.raises(ConfigurationError, match="none of auto and boto3"):
        open_clients("eu-west-1", None, timeout=MINUTE, wire="lean")  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside other tests' threads
def test_a_fork_has_a_client_of_its_own(clients: Clients) -> None:
    """Also if another thread of the parent held the lock by which one is made."""
    mine = clients.get()
    read, write = os.pipe()
    with clients._lock:
        child = os.fork()
        if not child:
            os.write(write, b"own" if clients.get() is not mine else b"the parent's")
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 20) == b"own"
    os.close(read)
    os.close(write)
