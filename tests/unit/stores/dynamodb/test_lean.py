"""A store's calls over both wires: the same requests, and the same results and errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cloudq.stores.dynamodb.client import open_clients
from cloudq.stores.dynamodb.lean import OPERATIONS, LeanClient
from tests.chaos.raw_answers import RawServer
from tests.unit.aws_wire.test_both_wires import OF_THE_CALL, SEED, Recorder, headers_of, said

OFTEN: Final = settings(
    max_examples=100,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
CALLS: Final = {"DeleteItem": "delete_item", "GetItem": "get_item", "PutItem": "put_item", "UpdateItem": "update_item"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text("abcXYZ019_:#", min_size=1, max_size=8)
NUMBER = st.integers(-(10**30), 10**30).map(str)
BASE64 = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())


def items(binary: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Attributes of the three kinds that the store writes."""
    return st.dictionaries(
        NAME,
        st.one_of(
            st.fixed_dictionaries({"S": TEXT}),
            st.fixed_dictionaries({"N": NUMBER}),
            st.fixed_dictionaries({"B": binary}),
        ),
        max_size=4,
    )


CONDITIONS: Final = {
    "ConditionExpression": TEXT,
    "ExpressionAttributeValues": items(st.binary(max_size=9)),
    "ExpressionAttributeNames": st.dictionaries(NAME, TEXT, max_size=2),
    "ReturnValuesOnConditionCheckFailure": st.just("ALL_OLD"),
}
KEY: Final = {"Key": items(st.binary(max_size=9))}
PARAMETERS: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "delete_item": st.fixed_dictionaries({"TableName": NAME, **KEY}, optional=CONDITIONS),
    "get_item": st.fixed_dictionaries({"TableName": NAME, **KEY}, optional={"ConsistentRead": st.booleans()}),
    "put_item": st.fixed_dictionaries({"TableName": NAME, "Item": KEY["Key"]}, optional=CONDITIONS),
    "update_item": st.fixed_dictionaries({"TableName": NAME, **KEY, "UpdateExpression": TEXT}, optional=CONDITIONS),
}
ASKED: Final = st.sampled_from(sorted(PARAMETERS)).flatmap(lambda call: st.tuples(st.just(call), PARAMETERS[call]))


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Recorder, Any, LeanClient]]:
    """A server, the botocore client of it, and the lean one over that."""
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch, RawServer(recorder.respond) as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, name)
        clients = open_clients("eu-west-1", server.url, timeout=timedelta(seconds=60))
        lean = clients.caller()
        assert isinstance(lean, LeanClient)
        yield recorder, clients.get(), lean
        clients.close()


def outcome(client: Any, call: str, parameters: dict[str, Any]) -> Any:
    """What comes of a call: its result, or its error with all that it says."""
    try:
        return getattr(client, call)(**parameters)
    except Exception as error:
        return type(error).__name__, type(error).__mro__[1].__name__, str(error), getattr(error, "response", None)


def test_all_calls_of_the_store_are_made_without_the_sdk() -> None:
    """Each by a method of its own."""
    assert set(CALLS) == set(OPERATIONS)
    assert set(CALLS.values()) <= set(vars(LeanClient))


@seed(SEED)
@OFTEN
@given(asked=ASKED)
def test_requests_are_the_same(both: tuple[Recorder, Any, LeanClient], asked: tuple[str, dict[str, Any]]) -> None:
    """The same line and headers, and a body that says the same: bytes as base64 among it."""
    server, *clients = both
    server.answer = said({})
    for client in clients:
        outcome(client, *asked)
    theirs, ours = server.taken()
    assert theirs.head.split(b"\r\n")[0] == ours.head.split(b"\r\n")[0]
    assert json.loads(theirs.body) == json.loads(ours.body)
    differ = OF_THE_CALL | {"content-length", "amz-sdk-request"}
    assert headers_of(theirs).keys() == headers_of(ours).keys()
    assert _rest(theirs, differ) == _rest(ours, differ)
    assert headers_of(ours)["x-amz-target"] == f"DynamoDB_20120810.{_named(asked[0])}"


def _rest(request: Any, without: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers_of(request).items() if name not in without}


def _named(call: str) -> str:
    return next(name for name, method in CALLS.items() if method == call)


@seed(SEED)
@OFTEN
@given(item=items(BASE64))
def test_items_are_the_same(both: tuple[Recorder, Any, LeanClient], item: dict[str, Any]) -> None:
    """Those that are read, and those that come with a condition that doesn't hold."""
    server, *clients = both
    server.answer = said({"Item": item})
    theirs, ours = (outcome(client, "get_item", {}) for client in clients)
    assert theirs == ours
    failed = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"}
    server.answer = said({**failed, "Item": item}, 400)
    theirs, ours = (outcome(client, "put_item", {}) for client in clients)
    assert theirs[3].get("Item") == ours[3].get("Item")
    assert theirs == ours
    server.taken()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 400),
        ("InternalServerError", 500),
        ("NobodyKnowsThis", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("ResourceNotFoundException", 400),
        ("ThrottlingException", 400),
        ("TransactionConflictException", 400),
        ("UnrecognizedClientException", 400),
        ("ValidationException", 400),
    ],
)
def test_errors_are_the_same(both: tuple[Recorder, Any, LeanClient], code: str, status: int) -> None:
    """Their classes, words, codes and metadata."""
    server, *clients = both
    server.answer = said({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}, status)
    theirs, ours = (outcome(client, "update_item", {}) for client in clients)
    server.taken()
    assert isinstance(theirs, tuple)
    assert theirs == ours


def test_an_answer_that_was_cut_is_none(both: tuple[Recorder, Any, LeanClient]) -> None:
    """Of either wire: the write may have been carried out, and is no success."""
    server, *clients = both
    for whole in (said({"Attributes": {}}), said({})):
        for cut in (whole[:-1], whole[: whole.index(b"\r\n\r\n") + 4], whole[: len(whole) // 2], b""):
            server.answer = cut
            for client in clients:
                name = outcome(client, "put_item", {})
                assert isinstance(name, tuple)
                assert name[0] in {"BackendUnavailable", "ConnectionClosedError", "ResponseStreamingError"}
    server.taken()


def test_an_answer_that_was_changed_is_none(both: tuple[Recorder, Any, LeanClient]) -> None:
    """DynamoDB says each answer's CRC-32; the SDK looks at it in one of its modes of retries only."""
    server, *clients = both
    right = {"Item": {"result": {"S": "paid"}}}
    for sum_, kind in ((crc32(json.dumps(right).encode()), dict), (1, tuple)):
        server.answer = said(right, x_amz_crc32=str(sum_))
        assert [type(outcome(client, "get_item", {})) for client in clients] == [kind, kind]
    server.taken()


def test_what_else_the_sdk_can_is_the_sdks(both: tuple[Recorder, Any, LeanClient]) -> None:
    """Its other calls, and what it knows of itself."""
    _, client, lean = both
    assert lean.meta is client.meta
    assert lean.describe_table == client.describe_table
