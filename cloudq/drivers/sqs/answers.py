"""What an answer says of each item: of a batch only what it names is done (`unnamed_too`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cloudq.drivers.sqs.faults import of_item
from cloudq.errors import BackendUnavailable


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
    in_order = not refused and [one and one.get("Id") for one in listed] == ids  # as nearly always, and cheap
    if in_order and (proof is None or all(map(proof, range(len(ids)), listed))):
        return errors
    successful, failed = _by_id(listed), _by_id(refused)
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


def _by_id(items: Iterable[Mapping[str, Any] | None]) -> dict[str, Mapping[str, Any]]:
    """The items that say whose they are. A `null`, say, is of none."""
    return {one["Id"]: one for one in items if one and isinstance(one.get("Id"), str)}


def _unnamed(queue: str, done: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"queue {queue!r}: the answer of Amazon SQS doesn't say what became of this item, which may have been {done}"
    )
