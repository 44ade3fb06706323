"""The same call over both wires: the same request, signed as botocore signs it, and the same result or error.

The calls, and what a server answers them, are made up: by seeds that are written here, so that each run makes the same.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cloudq.drivers.sqs.lean import LeanClient
from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import RawServer, answer
from tests.unit.aws_wire.clients import QUEUE, REGION, both

SEED: Final = 20261129
# Made anew for each call, by either wire.
OF_THE_CALL: Final = {"x-amz-date", "authorization", "amz-sdk-invocation-id"}
OFTEN: Final = settings(
    max_examples=400,
    database=None,
    phases=[Phase.generate],  # the seed makes it again; to look for a smaller one takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text("abcXYZ019_.-", min_size=1, max_size=8)
WHOLE = st.integers(-(2**31), 2**31)
ATTRIBUTES = st.dictionaries(
    NAME,
    st.one_of(
        st.fixed_dictionaries({"DataType": st.just("Binary"), "BinaryValue": st.binary(max_size=9)}),
        st.fixed_dictionaries({"DataType": st.sampled_from(["String", "Number"]), "StringValue": TEXT}),
    ),
    max_size=3,
)
SENT = {"MessageBody": TEXT}
MORE = {
    "DelaySeconds": WHOLE,
    "MessageAttributes": ATTRIBUTES,
    "MessageGroupId": TEXT,
    "MessageDeduplicationId": TEXT,
    "MessageSystemAttributes": ATTRIBUTES,
}


def entries(fields: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"Entries": st.lists(st.fixed_dictionaries({"Id": NAME, **fields}, optional=optional), max_size=4)}


PARAMETERS: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "send_message": st.fixed_dictionaries(SENT, optional=MORE),
    "send_message_batch": st.fixed_dictionaries(entries(SENT, **MORE)),
    "receive_message": st.fixed_dictionaries(
        {},
        optional={
            "MaxNumberOfMessages": WHOLE,
            "WaitTimeSeconds": WHOLE,
            "VisibilityTimeout": WHOLE,
            "ReceiveRequestAttemptId": TEXT,
            "MessageAttributeNames": st.lists(TEXT, max_size=3),
            "MessageSystemAttributeNames": st.lists(TEXT, max_size=3),
        },
    ),
    "delete_message_batch": st.fixed_dictionaries(entries({"ReceiptHandle": TEXT})),
    "change_message_visibility_batch": st.fixed_dictionaries(entries({"ReceiptHandle": TEXT}, VisibilityTimeout=WHOLE)),
}
CALLS: Final = st.sampled_from(sorted(PARAMETERS)).flatmap(lambda call: st.tuples(st.just(call), PARAMETERS[call]))

BASE64 = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
GIVEN = st.fixed_dictionaries({}, optional={"DataType": TEXT, "StringValue": TEXT, "BinaryValue": BASE64})
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "MessageId": TEXT,
        "ReceiptHandle": TEXT,
        "MD5OfBody": TEXT,
        "Body": TEXT,
        "Attributes": st.dictionaries(NAME, TEXT, max_size=3),
        "MessageAttributes": st.dictionaries(NAME, GIVEN, max_size=2),
        "MD5OfMessageAttributes": TEXT,
    },
)
FAILED = st.fixed_dictionaries({}, optional={"Id": NAME, "SenderFault": st.booleans(), "Code": TEXT, "Message": TEXT})
NAMED = st.fixed_dictionaries(
    {}, optional={"Id": NAME, "MessageId": TEXT, "MD5OfMessageBody": TEXT, "SequenceNumber": TEXT}
)
BATCH = {"Successful": st.lists(NAMED, max_size=3), "Failed": st.lists(FAILED, max_size=3)}
# Also what no model knows: a newer service says more than an older SDK reads, or says that there is nothing.
UNKNOWN = {"Newer": st.one_of(st.none(), WHOLE, TEXT, st.lists(TEXT, max_size=2))}
NONE = st.sampled_from([{"Messages": None}, {"Successful": None, "Failed": None}, {"MessageId": None}])
RESULTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "send_message": st.fixed_dictionaries(
        {}, optional={"MessageId": TEXT, "MD5OfMessageBody": TEXT, "SequenceNumber": TEXT, **UNKNOWN}
    ),
    "send_message_batch": st.fixed_dictionaries({}, optional=BATCH | UNKNOWN),
    "receive_message": st.fixed_dictionaries({}, optional={"Messages": st.lists(MESSAGE, max_size=3), **UNKNOWN}),
    "delete_message_batch": st.fixed_dictionaries({}, optional=BATCH),
    "change_message_visibility_batch": st.fixed_dictionaries({}, optional=BATCH | UNKNOWN),
}
ANSWERS: Final = st.sampled_from(sorted(RESULTS)).flatmap(
    lambda call: st.tuples(st.just(call), st.one_of(RESULTS[call], NONE))
)
CODES: Final = (
    *("QueueDoesNotExist", "ReceiptHandleIsInvalid", "MessageNotInflight", "OverLimit", "BatchRequestTooLong"),
    *("InvalidMessageContents", "KmsThrottled", "RequestThrottled", "AccessDeniedException", "ExpiredToken"),
    *("SignatureDoesNotMatch", "InternalFailure", "ServiceUnavailable", "NobodyKnowsThis"),
)
REFUSALS: Final = st.fixed_dictionaries(
    {
        "code": st.sampled_from(CODES),
        "namespace": st.sampled_from(["", "com.amazonaws.sqs#", "com.amazon.coral.service#"]),
        "status": st.sampled_from([400, 403, 404, 429, 500, 503]),
        "text": st.one_of(TEXT, st.none()),
        "field": st.sampled_from(["message", "Message"]),
        "query": st.sampled_from([None, "AWS.SimpleQueueService.NonExistentQueue;Sender", "X;Receiver", ";", "X"]),
    }
)


class Recorder:
    """A server that keeps what it is sent, and answers each call in the same way."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer = said({})

    def respond(self, request: Request) -> bytes:
        self.requests.append(request)
        return self.answer

    def taken(self) -> list[Request]:
        """What came since the last time."""
        requests, self.requests = self.requests, []
        return requests


def said(content: object, status: int = 200, **headers: str) -> bytes:
    return answer(
        json.dumps(content).encode(),
        kind="application/x-amz-json-1.0",
        status=f"{status} Said",
        x_amzn_RequestId="7",
        **headers,
    )


@pytest.fixture(scope="module")
def recorder() -> Iterator[tuple[Recorder, Any, LeanClient]]:
    """It, the botocore client of it, and the lean one over that."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch, RawServer(recorder.respond) as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, name)
        client, lean = both(server.url)
        yield recorder, client, lean
        client.close()


def headers_of(request: Request) -> dict[str, str]:
    lines = request.head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}


def signature_of(request: Request) -> tuple[str, str]:
    """The header as botocore makes it for what came, and as it came."""
    headers = headers_of(request)
    given = headers.pop("authorization")
    signed = re.search(r"SignedHeaders=([^,]*)", given)
    assert signed is not None
    again = AWSRequest("POST", f"http://{headers['host']}/", data=request.body)
    for name in signed[1].split(";"):
        again.headers[name] = headers[name]
    again.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "sqs", REGION)
    auth._inject_signature_to_request(
        again, auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    )
    return again.headers["Authorization"], given


def outcome(client: Any, call: str, parameters: dict[str, Any]) -> Any:
    """What comes of a call: its result, or its error with all that it says."""
    try:
        return getattr(client, call)(QueueUrl=QUEUE, **parameters)
    except Exception as error:
        return type(error).__name__, type(error).__mro__[1].__name__, str(error), getattr(error, "response", None)


@seed(SEED)
@OFTEN
@given(call=CALLS)
def test_requests_are_the_same(recorder: tuple[Recorder, Any, LeanClient], call: tuple[str, dict[str, Any]]) -> None:
    """The same line and headers, a body that says the same, and each a signature that botocore makes again."""
    server, *clients = recorder
    server.answer = said({})
    for client in clients:
        outcome(client, *call)
    theirs, ours = server.taken()
    assert theirs.head.split(b"\r\n")[0] == ours.head.split(b"\r\n")[0]
    assert json.loads(theirs.body) == json.loads(ours.body)
    for request in (theirs, ours):
        wanted, given = signature_of(request)
        assert wanted == given
    wanted_headers, headers = headers_of(theirs), headers_of(ours)
    for length, request in ((wanted_headers.pop("content-length"), theirs), (headers.pop("content-length"), ours)):
        assert str(len(request.body)) == length
    assert wanted_headers.keys() == headers.keys()
    # Newer versions of botocore tell the most tries too, older ones the number of this one alone.
    assert wanted_headers.pop("amz-sdk-request") in {"attempt=1", "attempt=1; max=1"}
    assert "attempt=1; max=1" == headers.pop("amz-sdk-request")
    assert {name: value for name, value in wanted_headers.items() if name not in OF_THE_CALL} == {
        name: value for name, value in headers.items() if name not in OF_THE_CALL
    }


@seed(SEED)
@OFTEN
@given(said_to=ANSWERS)
def test_results_are_the_same(recorder: tuple[Recorder, Any, LeanClient], said_to: tuple[str, Any]) -> None:
    """Each of the service's model, empty ones, and what it doesn't have: with their metadata."""
    server, *clients = recorder
    call, content = said_to
    server.answer = said(content)
    theirs, ours = (outcome(client, call, {}) for client in clients)
    server.taken()
    assert theirs == ours


@seed(SEED)
@OFTEN
@given(call=st.sampled_from(sorted(RESULTS)), refusal=REFUSALS)
def test_errors_are_the_same(recorder: tuple[Recorder, Any, LeanClient], call: str, refusal: dict[str, Any]) -> None:
    """Each class of them: its name and its base, its words, its codes and its metadata."""
    server, *clients = recorder
    content = {"__type": refusal["namespace"] + refusal["code"]}
    if refusal["text"] is not None:
        content[refusal["field"]] = refusal["text"]
    query = {} if refusal["query"] is None else {"x_amzn_query_error": refusal["query"]}
    server.answer = said(content, refusal["status"], **query)
    theirs, ours = (outcome(client, call, {}) for client in clients)
    server.taken()
    assert isinstance(theirs, tuple)
    assert theirs == ours


def test_each_kind_is_made_up(recorder: tuple[Recorder, Any, LeanClient]) -> None:
    """The seeds lead to calls of each kind, to binary attributes and to none: what isn't made proves nothing."""
    seen: set[str] = set()

    @seed(SEED)
    @OFTEN
    @given(call=CALLS)
    def look(call: tuple[str, dict[str, Any]]) -> None:
        text = repr(call)
        seen.update(name for name in (*PARAMETERS, "BinaryValue", "'Entries': []") if name in text)
        seen.update("beyond ASCII" for character in text if not character.isascii())

    look()
    assert {*PARAMETERS, "BinaryValue", "'Entries': []", "beyond ASCII"} == seen
