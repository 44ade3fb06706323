"""What is asked of botocore once a client. That what is signed is right is in test_signing.py."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.config import Config

from cloudq.aws_wire.service import Operation, Unusual
from cloudq.aws_wire.signing import Form
from tests.unit.aws_wire.clients import REGION, both


def test_the_headers_that_never_change() -> None:
    """Of the protocol, for the operation, and the user agent that the client itself has."""
    client, _ = both(None)
    operation = Operation(client, "ReceiveMessage")
    assert [
        "Host: sqs.eu-west-1.amazonaws.com",
        "Accept-Encoding: identity",
        "X-Amz-Target: AmazonSQS.ReceiveMessage",
        "Content-Type: application/x-amz-json-1.0",
        "x-amzn-query-mode: true",
        f"User-Agent: {client._user_agent_creator.to_string()}",
        "",
    ] == operation.head.split("\r\n")
    client.close()


def test_a_form_is_made_once_a_token() -> None:
    """A session's token changes when the credentials are renewed; the signed names do with it."""
    client, _ = both(None)
    operation = Operation(client, "SendMessage")
    plain, first = operation.form(None), operation.form("a")
    assert plain is not first
    assert first is operation.form("a")
    assert ("", "X-Amz-Security-Token: a\r\n") == (plain.token, first.token)
    assert "content-type;host;x-amz-date;x-amz-security-token;x-amz-target;x-amzn-query-mode" == first.names
    assert "X-Amz-Security-Token: b\r\n" == operation.form("b").token
    assert plain == operation.form(None)
    client.close()


def test_forms_that_are_made_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that see new credentials at the same moment don't mix their tokens: a mixed form would be kept."""
    client, _ = both(None)
    operation = Operation(client, "SendMessage")
    alone = {token: operation.form(token) for token in ("a", "b")}
    signed = SigV4Auth.headers_to_sign
    others: list[Form] = []

    def interrupted(auth: SigV4Auth, request: Any) -> Any:
        if not others:
            monkeypatch.setattr(SigV4Auth, "headers_to_sign", signed)
            others.append(operation.form("b"))  # as another thread, between any two steps of this one
        return signed(auth, request)

    operation.form(None)
    monkeypatch.setattr(SigV4Auth, "headers_to_sign", interrupted)
    assert alone["a"] == operation.form("a")
    assert [alone["b"]] == others
    client.close()


@pytest.mark.parametrize("version", [UNSIGNED, "v4a", "v2"])
def test_another_signature_is_unusual(version: str) -> None:
    """Those calls are left to the client."""
    client = boto3.client("sqs", REGION, config=Config(signature_version=version))
    with pytest.raises(Unusual, match="SendMessage isn't signed by version 4"):
        Operation(client, "SendMessage")
    client.close()


def test_settings_that_no_header_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line end in the user agent, say: nothing is sent by such a client."""
    client, _ = both(None)
    monkeypatch.setattr(client._user_agent_creator, "to_string", lambda: "x\r\ny: z")
    with pytest.raises(ValueError, match="User-Agent has a character"):
        Operation(client, "SendMessage")
    client.close()


def test_the_rules_may_sign_for_another_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say of the signature counts more than what the client was made with."""
    client, _ = both(None)
    resolve = client._resolve_endpoint_ruleset

    def ruled(model: object, parameters: object, context: dict[str, object]) -> object:
        context["signing"] = {"region": "eu-north-1", "signing_name": "queues"}
        return resolve(model, parameters, context)

    monkeypatch.setattr(client, "_resolve_endpoint_ruleset", ruled)
    operation = Operation(client, "SendMessage")
    assert ("eu-north-1", "queues") == (operation.region, operation.service)
    client.close()
