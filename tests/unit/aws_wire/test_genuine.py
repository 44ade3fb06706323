"""What counts as an answer of AWS. That a driver refuses what isn't one is in drivers/sqs/test_answers.py."""

from __future__ import annotations

import pytest

from cloudq.aws_wire.genuine import flaw, undecided
from cloudq.errors import BackendUnavailable

SERVICE = {"protocol": "json", "jsonVersion": "1.0"}
OURS = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "1"}


def test_a_whole_answer_of_the_service_has_no_flaw() -> None:
    """With its length and without one, and LocalStack's errors, whose type is another."""
    assert None is flaw({**OURS, "content-length": "2"}, b"{}", SERVICE, failed=False)
    assert None is flaw(OURS, b'{"a": [1]}', SERVICE, failed=False)
    assert None is flaw({**OURS, "content-type": "application/json"}, b"{}", SERVICE, failed=True)


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        (OURS, b"", "cut within its headers"),
        ({**OURS, "content-length": "3"}, b"{}", "cut: 2 bytes of '3'"),
        ({**OURS, "content-length": "2", "content-type": "text/html"}, b"{}", "content type"),
        ({**OURS, "content-length": "2", "x-amzn-requestid": ""}, b"{}", "no x-amzn-RequestId"),
        ({**OURS, "content-length": "2"}, b"[]", "no JSON object"),
        (OURS, b'{"a": [1}', "complete JSON object"),
    ],
)
def test_each_flaw_is_named(headers: dict[str, str], body: bytes, said: str) -> None:
    """So that who reads the error knows what came."""
    assert said in (flaw(headers, body, SERVICE, failed=False) or "")


def test_nobody_knows_whether_it_was_carried_out() -> None:
    """The error says so, and which call it was."""
    error = undecided("SendMessage", "the answer was cut")
    assert isinstance(error, BackendUnavailable)
    assert "SendMessage: the answer was cut: the request may or may not have been carried out" in str(error)
