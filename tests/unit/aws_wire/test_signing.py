"""Signatures: the same as botocore's, for every kind of endpoint, with and without a session's token."""

from __future__ import annotations

import hmac
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from cloudq.aws_wire.service import Operation
from cloudq.aws_wire.signing import Form, Signer, check_value
from tests.unit.aws_wire.clients import REGION, both

PLACES: dict[str, tuple[str | None, str, dict[str, str]]] = {
    "plain": (None, REGION, {}),
    "FIPS": (None, "us-east-1", {"AWS_USE_FIPS_ENDPOINT": "true"}),
    "dual-stack": (None, REGION, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    "both": (None, "us-west-2", {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    "China": (None, "cn-north-1", {}),
    "GovCloud": (None, "us-gov-west-1", {}),
    "an own endpoint": ("http://localhost:4566", REGION, {}),
    "an own endpoint with a path": ("https://gateway.test/sqs/v1", REGION, {}),
    "an own endpoint with its usual port": ("https://gateway.test:443", REGION, {}),
    "an address of IPv6": ("http://[::1]:4566", REGION, {}),
    "an endpoint of the environment": (None, REGION, {"AWS_ENDPOINT_URL": "http://localhost:4567"}),
    "one of the environment for SQS": (
        None,
        REGION,
        {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_SQS": "http://localhost:4568"},
    ),
}


def headers_of(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.split("\r\n") if line)


@pytest.mark.parametrize("token", ["", "FwoGZXIvYXdzEXAMPLE//a+b=="])
@pytest.mark.parametrize("place", PLACES)
def test_the_signature_is_botocores(monkeypatch: pytest.MonkeyPatch, place: str, token: str) -> None:
    """Made anew by `SigV4Auth` from what is sent, at the same moment."""
    url, region, settings = PLACES[place]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client, _ = both(url, region)
    operation = Operation(client, "SendMessage")
    assert client.meta.endpoint_url in {operation.url, operation.url.removesuffix("/")}
    credentials = ReadOnlyCredentials("AKID", "secret", token or None)
    body = '{"MessageBody": "\u00e9"}'.encode()
    signed = Signer(operation.region, operation.service).sign(operation.form(credentials.token), body, credentials)
    sent = headers_of(operation.head) | headers_of(signed)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment_of(sent["X-Amz-Date"]))
    theirs = AWSRequest("POST", operation.url, {**sent, "amz-sdk-request": "attempt=1"}, body)
    del theirs.headers["amz-sdk-request"]  # botocore adds it behind the signature
    del theirs.headers["Accept-Encoding"]  # and this is http.client's
    SigV4Auth(credentials, operation.service, operation.region).add_auth(theirs)
    assert theirs.headers["Authorization"] == sent["Authorization"]
    assert (token or None) == sent.get("X-Amz-Security-Token")
    assert region == operation.region
    client.close()


def moment_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


FORM = Form(before="POST\n/\n\nx-amz-date:", after="\n\nx-amz-date\n", names="x-amz-date", token="")


def test_the_key_is_made_once_a_day_and_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes with either, also back."""
    signer = Signer("eu-west-1", "sqs")
    digests: list[Any] = []
    digest = hmac.digest
    monkeypatch.setattr("hmac.digest", lambda *given: digests.append(given) or digest(*given))
    now = [1_800_000_000]
    monkeypatch.setattr(time, "time", lambda: now[0])
    seen = []
    for day, secret in [(0, "a"), (0, "a"), (0, "b"), (1, "b"), (1, "a"), (0, "a")]:
        now[0] = 1_800_000_000 + day * 86_400
        digests.clear()
        signature = signer.sign(FORM, b"{}", ReadOnlyCredentials("k", secret, None))
        seen.append((re.sub(".*=", "", signature.strip()), len(digests)))
    assert [5, 1, 5, 5, 5, 5] == [count for _, count in seen]
    assert seen[0][0] == seen[1][0] == seen[5][0]
    assert 4 == len({signature for signature, _ in seen})


def test_the_moment_is_that_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the second, also if the clock was set back."""
    signer, now = Signer("eu-west-1", "sqs"), [0.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    moments = []
    for now[0] in (1.2, 1.9, 2.0, 1.0):
        moments.append(headers_of(signer.sign(FORM, b"", ReadOnlyCredentials("k", "s", None)))["X-Amz-Date"])
    assert ["19700101T000001Z", "19700101T000001Z", "19700101T000002Z", "19700101T000001Z"] == moments


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "\0", "\x7f"])
def test_what_would_begin_another_header(value: str) -> None:
    """It is refused, and not told, as it may be a secret."""
    check_value("X-Amz-Date", "20261129T101751Z")
    with pytest.raises(ValueError, match=r"^the token has a character that no header can have$"):
        check_value("the token", value)
