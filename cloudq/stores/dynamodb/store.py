"""`DynamoStore`: the store contract on one table of DynamoDB. Each change is one conditional write.

The table has the hash key `id` (a string), and `expires_at` as its TTL attribute; `terraform/aws-sqs` makes it. A
record that has expired may stay for days before DynamoDB deletes it, so every condition looks at the time itself.

**Not with global tables**: their regions take writes apart and settle later which of them holds. Two workers in two
regions would both have a claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cloudq.core.claim_life import next_token
from cloudq.core.clock import SYSTEM_CLOCK, Clock, from_micros
from cloudq.core.store import (
    Claim,
    Claimed,
    ClaimKey,
    Completed,
    Forgotten,
    InProgress,
    Record,
    RecordState,
)
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.dynamodb.notes import DynamoNotes
from cloudq.stores.dynamodb.time import MARGIN, ServiceTime

_MICROSECOND: Final = timedelta(microseconds=1)
_MARGIN: Final = MARGIN // _MICROSECOND
_LONGEST_NAME: Final = 200
# A key changes hands between a refusal and the next try no more often than this; else somebody else is at it.
_ROUNDS: Final = 5

_DENIED: Final = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"}

# For this reader's time `:now`, which has the margin off already.
_FREE: Final = (
    "(attribute_not_exists(id) OR kept_until <= :now OR "
    "(attribute_not_exists(completed_at) AND (attribute_not_exists(held_until) OR "
    "(held_until <= :now AND claim_owner <> :owner))))"
)
_MINE: Final = (
    "claim_token = :token AND kept_until > :late AND "
    "attribute_not_exists(completed_at) AND attribute_exists(held_until)"
)


class DynamoStore:
    """Records as items.

    Args:
        client: A botocore client of DynamoDB, which tries once a call.
        table: The table's name.
        namespace: Keeps the keys of apps apart that share a table.
        clock: Where the time comes from between two answers.
    """

    def __init__(self, client: Any, table: str, namespace: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._table = table
        self._namespace = namespace
        self._time = ServiceTime(clock)
        self.notes = DynamoNotes(namespace, self._time, self._call, self._conditional)

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done: one write, or two where clocks differ."""
        last = 0
        for _ in range(_ROUNDS):
            now = self._time.now()
            token = next_token(last, now)
            ends = now + lease // _MICROSECOND
            times = {"held_until": ends, "kept_until": ends + keep // _MICROSECOND}
            found = self._take(self._item(key, owner, fingerprint, claim_token=token, **times), now)
            if found is None:
                return Claimed(token)
            if _kept(found, now) and "completed_at" in found:
                return Completed(
                    from_micros(_number(found, "completed_at")), _bytes(found, "result"), _bytes(found, "print")
                )
            if _kept(found, now) and "held_until" in found:
                if found["claim_owner"]["S"] == owner:
                    token = _number(found, "claim_token")
                    if self.renew(key, token, lease):
                        return Claimed(token)
                    continue
                left = _number(found, "held_until") + _MARGIN - now
                if left > 0:
                    return InProgress(left * _MICROSECOND, _bytes(found, "print"))
            last = _number(found, "claim_token")
        return InProgress(MARGIN, None)

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now."""
        ends = self._time.now() + lease // _MICROSECOND
        done, found = self._update(
            key,
            "SET held_until = :ends",
            _MINE + " AND kept_until >= :ends",
            {":ends": ends, ":token": token},
        )
        if done or found is None or not self._is_of(found, token):
            return done
        # Longer than the record was to be kept: rare, so it costs a second write then.
        done, _ = self._update(
            key,
            "SET held_until = :ends, kept_until = :ends, expires_at = :expires",
            _MINE,
            {":ends": ends, ":token": token, ":expires": _seconds(ends)},
        )
        return done

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done."""
        now = self._time.now()
        kept = now + keep // _MICROSECOND
        values: dict[str, Any] = {":now": now, ":kept": kept, ":token": token, ":expires": _seconds(kept)}
        also = ""
        if result is not None:
            also, values[":result"] = ", #result = :result", result
        done, found = self._update(
            key,
            f"SET completed_at = :now, kept_until = :kept, expires_at = :expires{also} REMOVE held_until",
            _MINE,
            values,
            names={"#result": "result"} if also else None,
        )
        return done or (found is not None and self._is_of(found, token) and "completed_at" in found)

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back."""
        done, found = self._update(key, "REMOVE held_until, claim_owner, print", _MINE, {":token": token})
        if done or found is None:
            return done
        return self._is_of(found, token) and "completed_at" not in found and "held_until" not in found

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""
        answer = self._call("get_item", Key=self._id(key), ConsistentRead=True)
        item = answer.get("Item")
        now = self._time.now()
        if not item or not _kept(item, now):
            return None
        until = _number(item, "held_until") if "held_until" in item else None
        completed = _number(item, "completed_at") if "completed_at" in item else None
        if completed is not None:
            state = RecordState.COMPLETED
        elif until is None:
            state = RecordState.RELEASED
        else:
            state = RecordState.IN_PROGRESS if now < until + _MARGIN else RecordState.LAPSED
        return Record(
            state=state,
            token=_number(item, "claim_token"),
            owner=item.get("claim_owner", {}).get("S", ""),
            until=None if until is None else from_micros(until),
            at=None if completed is None else from_micros(completed),
            keep_until=from_micros(_number(item, "kept_until")),
            fingerprint=_bytes(item, "print"),
            result=_bytes(item, "result"),
        )

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record; that of a claim that holds only with `force`."""
        now = self._time.now()
        condition = "attribute_exists(id) AND kept_until > :kept"
        values = {":kept": {"N": str(now - _MARGIN)}}
        if not force:
            condition += (
                " AND (attribute_exists(completed_at) OR attribute_not_exists(held_until) OR held_until <= :now)"
            )
            values[":now"] = {"N": str(now - _MARGIN)}
        done, found = self._conditional(
            "delete_item", Key=self._id(key), ConditionExpression=condition, ExpressionAttributeValues=values
        )
        if done:
            return Forgotten.REMOVED
        return Forgotten.STILL_RUNNING if found and _kept(found, now) else Forgotten.NOTHING_THERE

    def sweep(self, limit: int) -> int:
        """Nothing to do: the table's TTL removes them."""
        del limit
        return 0

    def close(self) -> None:
        """Closes the connections that are idle."""
        self._client.close()

    def _item(self, key: ClaimKey, owner: str, fingerprint: bytes | None, **numbers: int) -> dict[str, Any]:
        numbers["expires_at"] = _seconds(numbers["kept_until"])
        item = self._id(key) | {
            "work": {"S": f"{key.task} {key.key}"[:_LONGEST_NAME]},  # for people who look into the table
            "claim_owner": {"S": owner},
        }
        item |= {name: {"N": str(number)} for name, number in numbers.items()}
        return item if fingerprint is None else item | {"print": {"B": fingerprint}}

    def _take(self, item: Mapping[str, Any], now: int) -> Mapping[str, Any] | None:
        """One try of a claim. `None`: it is there; else what is there instead."""
        # A greater token than this may have been given meanwhile, or by a clock that is ahead.
        done, found = self._conditional(
            "put_item",
            Item=item,
            ConditionExpression=f"{_FREE} AND (attribute_not_exists(claim_token) OR claim_token < :token)",
            ExpressionAttributeValues={
                ":now": {"N": str(now - _MARGIN)},
                ":token": item["claim_token"],
                ":owner": item["claim_owner"],
            },
        )
        return None if done else found or {}

    def _update(
        self,
        key: ClaimKey,
        expression: str,
        condition: str,
        values: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
    ) -> tuple[bool, Mapping[str, Any] | None]:
        values = {**values, ":late": self._time.now() - _MARGIN}
        typed = {
            name: {"B": value} if isinstance(value, bytes) else {"N": str(value)} for name, value in values.items()
        }
        more: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        return self._conditional(
            "update_item",
            Key=self._id(key),
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues=typed,
            **more,
        )

    def _conditional(self, method: str, **arguments: Any) -> tuple[bool, Mapping[str, Any] | None]:
        """Whether a write was carried out, and if not, what is there."""
        try:
            self._call(method, ReturnValuesOnConditionCheckFailure="ALL_OLD", **arguments)
        except ClientError as error:
            return False, error.response.get("Item")
        return True, None

    def _call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """One call. A condition that doesn't hold is raised as it is."""
        try:
            answer: Mapping[str, Any] = getattr(self._client, method)(TableName=self._table, **arguments)
        except ClientError as error:
            self._time.learn(error.response)
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ConditionalCheckFailedException":
                raise
            if code == "ResourceNotFoundException":
                raise StoreRefused(
                    f"DynamoDB has no table {self._table!r} here", hint="terraform/aws-sqs makes it: idempotency_table"
                ) from error
            if code in _DENIED:
                raise StoreRefused(f"DynamoDB refuses {method} on table {self._table!r}: {code}") from error
            raise StoreUnavailable(f"the store's table {self._table!r} failed: {code}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"the store's table {self._table!r} can't be reached: {type(error).__name__}"
            ) from error
        self._time.learn(answer)
        return answer

    def _is_of(self, item: Mapping[str, Any], token: int) -> bool:
        return _number(item, "claim_token") == token and _kept(item, self._time.now())

    def _id(self, key: ClaimKey) -> dict[str, Any]:
        return {"id": {"S": key.digest(self._namespace).hex()}}


def _kept(item: Mapping[str, Any], now: int) -> bool:
    return "kept_until" in item and now < _number(item, "kept_until") + _MARGIN


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item[name]["N"])


def _bytes(item: Mapping[str, Any], name: str) -> bytes | None:
    return bytes(item[name]["B"]) if name in item else None


def _seconds(micros: int) -> int:
    return micros // 1_000_000 + 1
