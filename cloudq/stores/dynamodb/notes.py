"""`DynamoNotes`: notes as items of the same table, each write one conditional write.

There is no server's time to compare with: a note goes `MARGIN` after it was kept for long enough, as a claim does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, Written, new_version, note_digest
from cloudq.stores.dynamodb.time import MARGIN, ServiceTime

_MICROSECOND: Final = timedelta(microseconds=1)
_MARGIN: Final = MARGIN // _MICROSECOND
_LONGEST_NAME: Final = 200

Call = Callable[..., Mapping[str, Any]]
Conditional = Callable[..., "tuple[bool, Mapping[str, Any] | None]"]


class DynamoNotes:
    """Notes of one namespace.

    Args:
        namespace: Keeps the notes of apps apart that share a table.
        time: The service's.
        call: Calls a method of the client on the table.
        conditional: Makes a conditional write: whether it was carried out, and if not, what is there.
    """

    def __init__(self, namespace: str, time: ServiceTime, call: Call, conditional: Conditional) -> None:
        self._namespace = namespace
        self._time = time
        self._call = call
        self._conditional = conditional

    def read(self, name: str) -> Note | None:
        """What is there."""
        return self._seen(self._call("get_item", Key=self._id(name), ConsistentRead=True).get("Item"))

    def write(self, name: str, text: bytes, *, after: int, keep: timedelta) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        now = self._time.now()
        kept = now + keep // _MICROSECOND
        version = new_version()
        numbers = {"version": version, "written_at": now, "kept_until": kept, "expires_at": kept // 1_000_000 + 1}
        item: dict[str, Any] = self._id(name) | {"work": {"S": name[:_LONGEST_NAME]}, "note": {"B": text}}
        item |= {key: {"N": str(number)} for key, number in numbers.items()}
        values: dict[str, Any] = {":late": {"N": str(now - _MARGIN)}}
        if after:
            condition = "#version = :after AND kept_until > :late"
            values[":after"] = {"N": str(after)}
            more: dict[str, Any] = {"ExpressionAttributeNames": {"#version": "version"}}
        else:
            condition, more = "attribute_not_exists(id) OR kept_until <= :late", {}
        done, found = self._conditional(
            "put_item", Item=item, ConditionExpression=condition, ExpressionAttributeValues=values, **more
        )
        return Written(version) if done else self._seen(found)

    def sweep(self, limit: int) -> int:
        """Nothing to do: the table's TTL removes them."""
        del limit
        return 0

    def _seen(self, item: Mapping[str, Any] | None) -> Note | None:
        now = self._time.now()
        if not item or now >= (kept := int(item["kept_until"]["N"]) + _MARGIN):
            return None
        written = int(item["written_at"]["N"])
        return Note(
            text=bytes(item["note"]["B"]),
            version=int(item["version"]["N"]),
            at=from_micros(written),
            age=max(0, now - written) * _MICROSECOND,
            left=(kept - now) * _MICROSECOND,
        )

    def _id(self, name: str) -> dict[str, Any]:
        return {"id": {"S": "note-" + note_digest(self._namespace, name).hex()}}
