"""What counts as an answer of AWS.

botocore makes an empty success of a 200 whose headers or body were cut on the way, and of a web page. So each answer is
looked at before it is parsed, as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

import msgspec

from cloudq.errors import BackendUnavailable

_CHECKED: Final = "cloudq-answers"
_ERROR: Final = "application/json"  # of LocalStack's errors
# Reads past each value, and so finds out whether all is there, without making anything of it.
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def watch(client: Any) -> None:
    """Has each answer that `client` gets looked at."""
    client.meta.events.register("before-parse", refuse_broken, unique_id=_CHECKED)


def refuse_broken(response_dict: Mapping[str, Any], operation_model: Any, **_: object) -> None:
    """Botocore's `before-parse`: refuses what is cut, or isn't an answer of the service at all.

    Raises:
        BackendUnavailable: It isn't whole, or isn't of the service: the call may have been carried out or not.
    """
    status = response_dict["status_code"]
    wrong = flaw(response_dict["headers"], response_dict["body"] or b"", operation_model.metadata, failed=status >= 300)
    if wrong is not None:
        raise undecided(operation_model.name, f"the answer (status {status}) {wrong}")


def is_as_sent(headers: Mapping[str, Any], body: bytes | memoryview) -> bool:
    """Whether a body has the CRC-32 that its headers name, as DynamoDB's do."""
    said = headers.get("x-amz-crc32")
    return said is None or said == str(crc32(body))


def undecided(operation: str, what: str) -> BackendUnavailable:
    """The error for a call whose answer says nothing that can be believed."""
    return BackendUnavailable(
        f"{operation}: {what}: the request may or may not have been carried out",
        hint="check what is between here and AWS: a proxy, a load balancer, a captive portal",
    )


def flaw(headers: Mapping[str, Any], body: bytes, service: Mapping[str, Any], *, failed: bool) -> str | None:
    """What is wrong with an answer, or `None`.

    Args:
        headers: Its headers, by their names in lower case or whatever their case is.
        body: What came behind them.
        service: Botocore's metadata of the service: its protocol.
        failed: Whether it says that the call failed.
    """
    length = headers.get("content-length")
    if length is None and not body:
        return "was cut within its headers"
    if length is not None and length != str(len(body)):
        return f"was cut: {len(body)} bytes of {length!r}"
    if service["protocol"] == "json":  # of other protocols emulators say whatever they like
        kind, said = f"application/x-amz-json-{service['jsonVersion']}", headers.get("content-type", "")
        if said != kind and not (failed and said == _ERROR):
            return f"isn't from AWS: its content type is {said!r}, not {kind!r}"
    if not headers.get("x-amzn-requestid"):
        return "isn't from AWS: it has no x-amzn-RequestId"
    if not is_as_sent(headers, body):
        return "was changed on its way: its CRC-32 isn't what it says"
    if body and not (body[:1] == b"{" and body.rstrip()[-1:] == b"}"):
        return "is no JSON object"
    if length is None:  # then only its own form says whether all is there
        try:
            _object.decode(body)
        except msgspec.DecodeError:
            return "was cut: it isn't a complete JSON object"
    return None
