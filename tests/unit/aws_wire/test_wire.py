"""Calls by the lean wire: what is sent, and what comes of each answer, are what the botocore client makes of them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.credentials import CredentialResolver, RefreshableCredentials
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

from cloudq.aws_wire.bounded import Within
from cloudq.aws_wire.clients import prepare
from cloudq.aws_wire.service import Unusual
from cloudq.aws_wire.wire import Wire
from cloudq.drivers.sqs.lean import OPERATIONS, LeanClient
from cloudq.errors import BackendUnavailable
from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import PAGE, RawServer, answer, cuts
from tests.unit.aws_wire.clients import QUEUE, both

KIND = "application/x-amz-json-1.0"
OF_THE_CALL = {"x-amz-date", "authorization", "amz-sdk-invocation-id", "amz-sdk-request"}


class Service:
    """A server that keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: bytes | Callable[[Request], bytes] = said({})

    def respond(self, request: Request) -> bytes:
        self.requests.append(request)
        return self.answer(request) if callable(self.answer) else self.answer


def said(content: Any, *, kind: str = KIND, status: str = "200 OK", **headers: str) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return answer(body, kind=kind, status=status, **{"x_amzn_RequestId": "7", **headers})


def headers_of(request: Request) -> dict[str, str]:
    lines = request.head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Service, str]]:
    service = Service()
    with RawServer(service.respond) as server:
        yield service, server.url


@pytest.fixture
def service(served: tuple[Service, str]) -> Service:
    served[0].requests.clear()
    served[0].answer = said({})
    return served[0]


@pytest.fixture
def clients(served: tuple[Service, str], credentials: None) -> Iterator[tuple[Any, LeanClient]]:
    """The botocore client, and the lean one over it."""
    client, lean = both(served[1])
    yield client, lean
    client.close()


CALLS: dict[str, dict[str, Any]] = {
    "send_message": {
        "MessageBody": 'h\u00e9 "\t\u2028 \U0001f600',
        "DelaySeconds": 3,
        "MessageAttributes": {
            "a": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
            "b": {"DataType": "String", "StringValue": "\u00fc"},
        },
    },
    "send_message_batch": {
        "Entries": [
            {"Id": "0", "MessageBody": "x"},
            {"Id": "1", "MessageBody": "y", "MessageGroupId": "g", "MessageDeduplicationId": "d"},
            {"Id": "2", "MessageBody": "z", "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": b"b"}}},
        ]
    },
    "receive_message": {
        "MaxNumberOfMessages": 10,
        "WaitTimeSeconds": 20,
        "VisibilityTimeout": 60,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        "MessageAttributeNames": ["All"],
    },
    "delete_message_batch": {"Entries": [{"Id": "0", "ReceiptHandle": "r"}]},
    "change_message_visibility_batch": {"Entries": [{"Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 0}]},
}


@pytest.mark.parametrize("token", ["", "token=="])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_sent_is_what_the_client_sends(
    monkeypatch: pytest.MonkeyPatch, service: Service, served: tuple[Service, str], call: str, token: str
) -> None:
    """The same line, the same headers with the same values, and a body that says the same."""
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    client, lean = both(served[1])
    for one in (client, lean):
        getattr(one, call)(QueueUrl=QUEUE, **CALLS[call])
    theirs, ours = service.requests
    assert json.loads(theirs.body) == json.loads(ours.body)
    assert theirs.head.split(b"\r\n")[0] == ours.head.split(b"\r\n")[0]
    sent, wanted = headers_of(ours), headers_of(theirs)
    assert str(len(ours.body)) == sent.pop("content-length")
    del wanted["content-length"]  # JSON may be written with spaces or without
    assert wanted.keys() == sent.keys()
    changing = {name for name in wanted if wanted[name] != sent[name]}
    assert changing <= OF_THE_CALL
    assert "attempt=1; max=1" == sent["amz-sdk-request"]
    assert wanted["amz-sdk-request"] in {"attempt=1", "attempt=1; max=1"}  # that of an older botocore, and of a newer
    for one in (sent, wanted):
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one["amz-sdk-invocation-id"])
    without = re.compile("(SignedHeaders=.*), Signature")
    assert without.findall(wanted["authorization"]) == without.findall(sent["authorization"])
    client.close()


def test_each_call_has_an_id_of_its_own(service: Service, clients: tuple[Any, LeanClient]) -> None:
    """Another client's are others, too."""
    for lean in (clients[1], LeanClient(clients[0])):
        for _ in range(3):
            lean.receive_message(QueueUrl=QUEUE)
    assert 6 == len({request.header(b"amz-sdk-invocation-id") for request in service.requests})


def test_lambdas_trace_is_handed_on(monkeypatch: pytest.MonkeyPatch, service: Service, served: Any) -> None:
    """That of the invocation under way, as botocore writes it; nowhere else, whatever the environment has."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=0")
    client, lean = both(served[1])
    lean.receive_message(QueueUrl=QUEUE)
    assert b"" == service.requests[0].header(b"x-amzn-trace-id")
    client.close()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    client, lean = both(served[1])
    for trace in ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", "\u00e9 \r\nx: y"):
        service.requests.clear()
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
        client.receive_message(QueueUrl=QUEUE)
        lean.receive_message(QueueUrl=QUEUE)
        theirs, ours = (headers_of(request) for request in service.requests)
        assert theirs.keys() == ours.keys()
        assert theirs["x-amzn-trace-id"] == ours["x-amzn-trace-id"]
    client.close()


MESSAGE = {
    "MessageId": "m",
    "ReceiptHandle": "r",
    "MD5OfBody": "0",
    "Body": "\u00e9",
    "Attributes": {"ApproximateReceiveCount": "1"},
    "MessageAttributes": {
        "a": {"DataType": "Binary", "BinaryValue": "AP8="},
        "b": {"DataType": "String", "StringValue": "s", "StringListValues": [], "BinaryListValues": []},
    },
}
FAILED = {"Id": "1", "SenderFault": True, "Code": "InternalError", "Message": "no"}
SENT = {"Id": "0", "MessageId": "m", "MD5OfMessageBody": "0", "SequenceNumber": "1"}

ANSWERS: dict[str, tuple[str, bytes]] = {
    "no messages": ("receive_message", said({})),
    "an empty list": ("receive_message", said({"Messages": []})),
    "messages": ("receive_message", said({"Messages": [MESSAGE, {"MessageId": "n"}]})),
    "no body": ("receive_message", said(b"")),
    "a stored message": ("send_message", said({key: value for key, value in SENT.items() if key != "Id"})),
    "a batch": ("send_message_batch", said({"Successful": [SENT], "Failed": [FAILED]})),
    "a batch of which nothing failed": ("delete_message_batch", said({"Successful": [{"Id": "0"}]})),
    "what the model doesn't have": (
        "receive_message",
        said({"Messages": [{**MESSAGE, "New": [1], "MessageAttributes": {"a": {"New": {}}}}], "New": None}),
    ),
    "nulls": ("receive_message", said({"Messages": [{**MESSAGE, "Attributes": None}]})),
    "a list that is null": ("receive_message", said({"Messages": None})),
    "nulls in a batch": ("change_message_visibility_batch", said({"Successful": [{"Id": "0"}], "Failed": None})),
    "half a surrogate pair": ("receive_message", said(b'{"Messages": [{"Body": "\\ud800"}]}')),
    "spaces around": ("receive_message", said(b' \r\n{"Messages": []}\n'.strip() + b"\n")),
    "several headers of a name": ("receive_message", said({}, Via="a").replace(b"Via: a", b"Via: a\r\nVia: b")),
    "chunks": (
        "receive_message",
        f"HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nx-amzn-RequestId: 7\r\nConnection: close\r\n".encode()
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_results_are_those_of_the_client(service: Service, clients: tuple[Any, LeanClient], kind: str) -> None:
    """All of them, with their metadata: also of answers that the service's model doesn't have."""
    call, service.answer = ANSWERS[kind]
    theirs, ours = (getattr(one, call)(QueueUrl=QUEUE, **CALLS[call]) for one in clients)
    assert theirs == ours


def error(code: str, status: str = "400 Bad Request", query: str = "", **more: Any) -> bytes:
    headers = {"x_amzn_query_error": query} if query else {}
    return said({"__type": code, "message": "no", **more}, status=status, **headers)


REFUSALS: dict[str, bytes] = {
    "of the model": error("com.amazonaws.sqs#QueueDoesNotExist"),
    "with its old name": error(
        "com.amazonaws.sqs#QueueDoesNotExist", query="AWS.SimpleQueueService.NonExistentQueue;Sender"
    ),
    "with an old name that says nothing": error("com.amazonaws.sqs#QueueDoesNotExist", query=";Sender"),
    "with an old name of three parts": error("com.amazonaws.sqs#OverLimit", query="a;b;c"),
    "of no model": error("com.amazon.coral.service#UnknownOperationException"),
    "without a namespace": error("OverLimit", "403 Forbidden"),
    "with a URL behind it": error("OverLimit:http://internal.amazon.com/coral/"),
    "throttling": error("com.amazonaws.sqs#RequestThrottled", "403 Forbidden"),
    "too many requests": error("ThrottlingException", "429 Too Many Requests"),
    "a clock that is off": error(
        "com.amazon.coral.service#InvalidSignatureException",
        "403 Forbidden",
        message="Signature expired: 20261129T101751Z is now earlier than 20261129T103251Z",
    ),
    "expired credentials": error("com.amazon.coral.service#ExpiredTokenException", "403 Forbidden"),
    "the service's own fault": error("com.amazonaws.sqs#InternalError", "500 Internal Server Error"),
    "out of service, without words": said(b"", status="503 Service Unavailable"),
    "nothing but a status": said({}, status="400 Bad Request"),
    "a message in capitals": said({"__type": "X", "Message": "no"}, status="400 Bad Request"),
    "of LocalStack's kind": said({"__type": "QueueDoesNotExist"}, status="400 Bad Request", kind="application/json"),
    "a redirection": said({}, status="307 Temporary Redirect", Location="http://elsewhere.test/"),
    "multiple choices": said({"Messages": []}, status="300 Multiple Choices"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_are_those_of_the_client(service: Service, clients: tuple[Any, LeanClient], kind: str) -> None:
    """The same class with the same codes, words and metadata."""
    service.answer = REFUSALS[kind]
    raised = []
    for one in clients:
        with pytest.raises(ClientError) as caught:
            one.receive_message(QueueUrl=QUEUE)
        raised.append(caught.value)
    theirs, ours = raised
    assert type(theirs) is type(ours)
    assert (theirs.response, str(theirs), theirs.operation_name) == (ours.response, str(ours), ours.operation_name)


PAGE_OF_A_PROXY = answer(PAGE, kind="text/html", status="503 Service Unavailable")
NO_ANSWERS: dict[str, bytes] = {
    "a web page": answer(PAGE, kind="text/html"),
    "a web page with an error": PAGE_OF_A_PROXY,
    "another type": said({}, kind="application/json"),
    "no request id": answer(b"{}", kind=KIND),
    "an empty request id": said({}, x_amzn_RequestId=""),
    "no object": said([]),
    "an object that isn't whole": said(b'{"Messages": [}'),
    "an object in another Unicode": said('{"MessageId": "m"}'.encode("utf-16")),
    "an object behind a mark": said(b'\xef\xbb\xbf{"MessageId": "m"}'),
    "an object that is too deep": said(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "an error in another form": said({"__type": ["x"]}, status="400 Bad Request"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "nothing": b"",
    "no headers": b"HTTP/1.1 200 OK\r\n\r\n",
    "neither a length nor a body": f"HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nx-amzn-RequestId: 7\r\n\r\n".encode(),
    "another protocol": b"SSH-2.0-x\r\n",
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_of_the_service(service: Service, clients: tuple[Any, LeanClient], kind: str) -> None:
    """Nobody knows whether the call was carried out, and the error says so. It is made once."""
    service.answer = NO_ANSWERS[kind]
    with pytest.raises(BackendUnavailable, match=r"SendMessage: .* may or may not have been carried out"):
        clients[1].send_message(QueueUrl=QUEUE, MessageBody="x")
    assert 1 == len(service.requests)


@pytest.mark.parametrize("content", [{"Messages": 5}, {"Messages": ["x"]}, {"Messages": [{"Attributes": []}]}])
def test_what_is_in_another_form_than_the_services(
    service: Service, clients: tuple[Any, LeanClient], content: Any
) -> None:
    """Where botocore's parser just fails nobody knows more than of a cut."""
    service.answer = said(content)
    with pytest.raises(BackendUnavailable, match=r"ReceiveMessage: .* isn't in the service's form"):
        clients[1].receive_message(QueueUrl=QUEUE)


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_is_cut_at_any_byte(service: Service, clients: tuple[Any, LeanClient], call: str) -> None:
    """It is never an empty success, nor a part of one."""
    content: Any = {"Messages": [MESSAGE]} if call == "receive_message" else {"Successful": [{"Id": "0"}], "Failed": []}
    for cut in cuts(said(SENT if call == "send_message" else content)):
        service.answer = cut
        with pytest.raises(BackendUnavailable, match="may or may not have been carried out"):
            getattr(clients[1], call)(QueueUrl=QUEUE, **CALLS[call])


def test_parameters_that_json_has_no_form_for(service: Service, clients: tuple[Any, LeanClient]) -> None:
    """Botocore's own serializer writes them: half a surrogate pair, say, which the service then refuses."""
    for one in clients:
        one.send_message(QueueUrl=QUEUE, MessageBody="\ud800")
    theirs, ours = service.requests
    assert theirs.body == ours.body


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, service: Service, served: Any) -> None:
    """The client's own error, and nothing is sent."""
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: None)
    client, lean = both(served[1])
    with pytest.raises(NoCredentialsError):
        lean.receive_message(QueueUrl=QUEUE)
    assert [] == service.requests
    client.close()


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"])
def test_credentials_that_no_header_can_have(
    monkeypatch: pytest.MonkeyPatch, service: Service, served: Any, name: str
) -> None:
    """A line end in one, from a file say, begins no other header: neither client sends it, nor tells it."""
    monkeypatch.setenv(name, "KEY\r\nX-Other: 1")
    client, lean = both(served[1])
    for one in (client, lean):
        with pytest.raises(HTTPClientError) as caught:
            one.receive_message(QueueUrl=QUEUE)
        assert "X-Other" not in str(caught.value) or one is client
    assert [] == service.requests
    client.close()


class Issuer:
    """Issues credentials whose keys are numbered, the first ones for a time of their own."""

    def __init__(self, first: timedelta) -> None:
        self.issued = 0
        self.first = first
        self.gate = threading.Event()
        self.gate.set()

    def issue(self) -> dict[str, str]:
        self.gate.wait(60)
        self.issued += 1
        life = self.first if self.issued == 1 else timedelta(hours=6)
        number = str(self.issued)
        expiry = (datetime.now(UTC) + life).isoformat()
        return {"access_key": f"KEY{number}", "secret_key": number, "token": f"T{number}", "expiry_time": expiry}

    def credentials(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(self.issue(), refresh_using=self.issue, method="test")


def signed_by(request: Request) -> tuple[str, str]:
    headers = headers_of(request)
    return headers["authorization"].partition("Credential=")[2].partition("/")[0], headers["x-amz-security-token"]


def test_credentials_that_are_renewed_between_two_calls(
    monkeypatch: pytest.MonkeyPatch, service: Service, served: Any
) -> None:
    """Each call is signed by those of its time, with the token that belongs to them."""
    issuer = Issuer(timedelta(hours=6))
    made = issuer.credentials()
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: made)
    client, lean = both(served[1])
    lean.receive_message(QueueUrl=QUEUE)
    made._expiry_time = datetime.now(made._expiry_time.tzinfo) + timedelta(minutes=5)
    lean.receive_message(QueueUrl=QUEUE)
    client.receive_message(QueueUrl=QUEUE)
    assert [("KEY1", "T1"), ("KEY2", "T2"), ("KEY2", "T2")] == [signed_by(request) for request in service.requests]
    client.close()


def test_credentials_that_are_renewed_while_calls_are_made(
    monkeypatch: pytest.MonkeyPatch, service: Service, served: Any
) -> None:
    """Threads never sign by a half of the old and a half of the new ones."""
    issuer = Issuer(timedelta(hours=6))
    made = issuer.credentials()
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: made)
    client, lean = both(served[1])

    def work() -> None:
        for number in range(20):
            if number % 5 == 0:
                made._expiry_time = datetime.now(made._expiry_time.tzinfo) + timedelta(minutes=5)
            lean.receive_message(QueueUrl=QUEUE)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    signed = [signed_by(request) for request in service.requests]
    assert 80 == len(signed)
    assert {key[3:] for key, _ in signed} == {token[1:] for _, token in signed}
    assert all(key[3:] == token[1:] for key, token in signed)
    client.close()


@pytest.mark.parametrize(("minutes", "made"), [(12, True), (5, False)])
def test_a_renewal_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, service: Service, served: Any, minutes: int, made: bool
) -> None:
    """While the old ones hold the call is signed by them; else it ends in its time, unsent."""
    issuer = Issuer(timedelta(minutes=minutes))
    refreshable = issuer.credentials()
    issuer.gate.clear()
    monkeypatch.setattr(CredentialResolver, "load_credentials", lambda _: refreshable)
    client, lean = both(served[1])
    try:
        with Within(timedelta(seconds=2)):
            if made:
                lean.receive_message(QueueUrl=QUEUE)
            else:
                with pytest.raises(BackendUnavailable, match="about to expire"):
                    lean.receive_message(QueueUrl=QUEUE)
    finally:
        issuer.gate.set()
    assert [("KEY1", "T1")] * made == [signed_by(request) for request in service.requests]
    client.close()


def test_a_client_that_checks_parameters_is_unusual() -> None:
    """That is left to the service here, and who wants it done before keeps it."""
    client = prepare(boto3.client("sqs", "eu-west-1"))
    with pytest.raises(Unusual, match="Parameter validation failed"):
        LeanClient(client)
    client.close()


def test_another_botocore_is_unusual(monkeypatch: pytest.MonkeyPatch, clients: tuple[Any, LeanClient]) -> None:
    """Where it has moved its parts the client makes its calls itself."""
    monkeypatch.delattr(clients[0], "_request_signer")
    with pytest.raises(Unusual, match=r"isn't known: .*_request_signer"):
        Wire(clients[0], OPERATIONS)
    with pytest.raises(Unusual):
        Wire(SimpleNamespace(meta=SimpleNamespace()), OPERATIONS)
