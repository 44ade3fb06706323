"""The lean client: a client of SQS like any other. What is sent and read is in aws_wire/test_wire.py."""

from __future__ import annotations

import os
import socket
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from botocore.model import Shape

from cloudq.aws_wire.clients import Clients, prepare
from cloudq.drivers.sqs.client import open_client, wires
from cloudq.drivers.sqs.lean import OPERATIONS, LeanClient
from tests.chaos.raw_answers import RawServer
from tests.unit.drivers.sqs.served import of

KINDS = {"string": str, "boolean": bool, "blob": bytes}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    return prepare(open_client("eu-west-1", None))


def type_of(shape: Shape) -> Any:
    """The type that reads a shape: as nested dictionaries of types, in the manner of the model."""
    if shape.type_name == "structure":
        return {name: type_of(member) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [type_of(shape.member)]
    if shape.type_name == "map":
        return (type_of(shape.key), type_of(shape.value))
    return KINDS[shape.type_name]


def spelt(kind: Any) -> Any:
    """A type of ours in the same form."""
    if is_typeddict(kind):
        return {name: spelt(member) for name, member in get_type_hints(kind).items()}
    if get_origin(kind) is list:
        return [spelt(get_args(kind)[0])]
    if get_origin(kind) is dict:
        return tuple(map(spelt, get_args(kind)))
    return kind


@pytest.mark.parametrize("operation", OPERATIONS)
def test_its_results_are_those_of_the_services_model(client: Any, operation: str) -> None:
    """Each field, and no other: a newer model would be noticed here."""
    model = client.meta.service_model.operation_model(operation)
    assert type_of(model.output_shape) == spelt(OPERATIONS[operation])


def test_all_else_is_the_clients(client: Any) -> None:
    """Its other calls, its errors and what it says of itself."""
    lean = LeanClient(client)
    assert client.get_queue_url == lean.get_queue_url
    assert client.exceptions is lean.exceptions
    assert client.meta is lean.meta
    lean.close()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_has_the_clients_method(monkeypatch: pytest.MonkeyPatch, client: Any, operation: str) -> None:
    """By the name that the client gives it, with the parameters as they are."""
    made: list[Any] = []
    monkeypatch.setattr("cloudq.aws_wire.wire.Wire.call", lambda _, *given: made.append(given) or {"a": 1})
    (method,) = (name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
    assert {"a": 1} == getattr(LeanClient(client), method)(QueueUrl="u", Entries=[])
    assert [(operation, {"QueueUrl": "u", "Entries": []})] == made


class Peers(RawServer):
    """A server that counts its connections, and answers with what it was sent."""

    def __init__(self) -> None:
        super().__init__(lambda request: of({"MessageId": request.parameters["MessageBody"]}))
        self.connections = 0

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        super()._serve(connection)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside other tests' threads
def test_a_child_process_has_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never reads what its parent was answered, and the parent goes on on its own connection."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with Peers() as server:
        clients = Clients(lambda: open_client("eu-west-1", server.url), wires=wires)

        def send(text: str) -> None:
            lean = clients.caller()
            assert isinstance(lean, LeanClient)
            assert text == lean.send_message(QueueUrl="u", MessageBody=text)["MessageId"]

        send("parent")
        child = os.fork()
        if not child:
            try:
                clients.after_fork()
                send("child")
                send("child again")
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert 0 == os.waitstatus_to_exitcode(status)
        send("parent again")
        assert 2 == server.connections
        clients.close()
