"""`DynamoNotes`: notes as items of the same table, each write one conditional write.

There is no server's time to compare with: a note goes `MARGIN` after it was kept for long enough, as a claim does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, Written, new_version, note_digest, shown_name
from cloudq.stores.dynamodb.calls import TableCalls
from cloudq.stores.dynamodb.time import MARGIN

_MICROSECOND: Final = timedelta(microseconds=1)
_MARGIN: Final = MARGIN // _MICROSECOND
_LONGEST_NAME: Final = 200


class DynamoNotes:
    """Notes of one namespace.

    Args:
        namespace: Keeps the notes of apps apart that share a table.
        calls: On the table.
    """

    def __init__(self, namespace: str, calls: TableCalls) -> None:
        self._namespace = namespace
        self._calls = calls

    def read(self, name: str) -> Note | None:
        """What is there."""
        return self._seen(self._calls.make("get_item", Key=self._id(name), ConsistentRead=True).get("Item"))

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        del durable  # each write is
        now = self._calls.now()
        kept = now + keep // _MICROSECOND
        version = new_version()
        numbers = {"version": version, "written_at": now, "kept_until": kept, "expires_at": kept // 1_000_000 + 1}
        item: dict[str, Any] = self._id(name) | {"work": {"S": shown_name(name)[:_LONGEST_NAME]}, "note": {"B": text}}
        item |= {key: {"N": str(number)} for key, number in numbers.items()}
        values: dict[str, Any] = {":late": {"N": str(now - _MARGIN)}}
        if after:
            condition = "#version = :after AND kept_until > :late"
            values[":after"] = {"N": str(after)}
            more: dict[str, Any] = {"ExpressionAttributeNames": {"#version": "version"}}
        else:
            condition, more = "attribute_not_exists(id) OR kept_until <= :late", {}
        done, found = self._calls.write(
            "put_item", Item=item, ConditionExpression=condition, ExpressionAttributeValues=values, **more
        )
        return Written(version) if done else self._seen(found)

    def sweep(self, limit: int) -> int:
        """Nothing to do: the table's TTL removes them."""
        del limit
        return 0

    def _seen(self, item: Mapping[str, Any] | None) -> Note | None:
        now = self._calls.now()
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
