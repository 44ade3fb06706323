"""What counts as an answer of the service, and what an answer says of each item.

botocore makes an empty success of a 200 whose headers or body were cut on the way, and of a web page. So each answer is
looked at before it is parsed, as it came (`refuse_broken`), and of a batch only what it names is done (`unnamed_too`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from cloudq.drivers.sqs.faults import of_item
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
    failed = response_dict["status_code"] >= 300
    wrong = _wrong(response_dict["headers"], response_dict["body"] or b"", operation_model.metadata, failed=failed)
    if wrong is not None:
        raise BackendUnavailable(
            f"the answer to {operation_model.name} (status {response_dict['status_code']}) {wrong}: "
            "the request may or may not have been carried out",
            hint="check what is between here and AWS: a proxy, a load balancer, a captive portal",
        )


def unnamed_too(
    answer: Mapping[str, Any],
    ids: list[str],
    queue: str,
    *,
    done: str,
    proof: Callable[[int, Mapping[str, Any]], bool] | None = None,
) -> list[Exception | None]:
    """The error of each item of a batch, in order: `None` only where the answer names the item as successful.

    Args:
        answer: What botocore made of the answer.
        ids: The items' ids in the call.
        queue: For the errors' texts.
        done: What may have been done to those that aren't named, in a word.
        proof: Whether what the answer says of a successful item, by its place, is what the service says of that item.
    """
    listed, refused = answer.get("Successful") or (), answer.get("Failed") or ()
    errors: list[Exception | None] = [None] * len(ids)
    in_order = not refused and [one.get("Id") for one in listed] == ids  # as nearly always, and cheap
    if in_order and (proof is None or all(map(proof, range(len(ids)), listed))):
        return errors
    successful, failed = {one.get("Id"): one for one in listed}, {one.get("Id"): one for one in refused}
    for place, id_ in enumerate(ids):
        if id_ in failed:
            errors[place] = of_item(failed[id_], queue)
        elif id_ not in successful or (proof is not None and not proof(place, successful[id_])):
            errors[place] = _unnamed(queue, done)
    return errors


def value_of(answer: Mapping[str, Any], name: str, queue: str) -> Any:
    """A value that an answer has to have.

    Raises:
        BackendUnavailable: It hasn't.
    """
    value = answer.get(name)
    if not value:
        raise BackendUnavailable(f"queue {queue!r}: an answer of Amazon SQS without {name}")
    return value


def _unnamed(queue: str, done: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"queue {queue!r}: the answer of Amazon SQS doesn't say what became of this item, which may have been {done}"
    )


def _wrong(headers: Mapping[str, Any], body: bytes, service: Mapping[str, Any], *, failed: bool) -> str | None:
    """What is wrong with an answer, or `None`."""
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
    if body and not (body[:1] == b"{" and body.rstrip()[-1:] == b"}"):
        return "is no JSON object"
    if length is None:  # then only its own form says whether all is there
        try:
            _object.decode(body)
        except msgspec.DecodeError:
            return "was cut: it isn't a complete JSON object"
    return None
