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

from cloudq.aws_wire.clients import Clients
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.claim_life import next_token
from cloudq.core.clock import SYSTEM_CLOCK, Clock, from_micros
from cloudq.core.notes import shown_name
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
from cloudq.stores.dynamodb.calls import TableCalls
from cloudq.stores.dynamodb.notes import DynamoNotes
from cloudq.stores.dynamodb.time import MARGIN, ServiceTime

_MICROSECOND: Final = timedelta(microseconds=1)
_MARGIN: Final = MARGIN // _MICROSECOND
_LONGEST_NAME: Final = 200
# A key changes hands between a refusal and the next try no more often than this; else somebody else is at it.
_ROUNDS: Final = 5

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
        clients: Make the calls (`client.open_clients`).
        table: The table's name.
        namespace: Keeps the keys of apps apart that share a table.
        clock: Where the time comes from between two answers.
        timeout: How long one call may take.
    """

    def __init__(
        self,
        clients: Clients,
        table: str,
        namespace: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        timeout: timedelta = CALL_TIMEOUT,
    ) -> None:
        self._calls = TableCalls(clients, table, ServiceTime(clock), timeout=timeout)
        self._namespace = namespace
        self.notes = DynamoNotes(namespace, self._calls)

    def check(self) -> None:
        """Looks at the table once, which tells the service's time as well.

        Raises:
            StoreUnavailable: It can't be reached.
            StoreRefused: There is no such table, or it may not be read.
        """
        self._calls.look()

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done: one write, or two where clocks differ."""
        last = 0
        for _ in range(_ROUNDS):
            now = self._calls.now()
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
        ends = self._calls.now() + lease // _MICROSECOND
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
        now = self._calls.now()
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
        answer = self._calls.make("get_item", Key=self._id(key), ConsistentRead=True)
        item = answer.get("Item")
        now = self._calls.now()
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
        now = self._calls.now()
        condition = "attribute_exists(id) AND kept_until > :kept"
        values = {":kept": {"N": str(now - _MARGIN)}}
        if not force:
            condition += (
                " AND (attribute_exists(completed_at) OR attribute_not_exists(held_until) OR held_until <= :now)"
            )
            values[":now"] = {"N": str(now - _MARGIN)}
        done, found = self._calls.write(
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
        self._calls.close()

    def _item(self, key: ClaimKey, owner: str, fingerprint: bytes | None, **numbers: int) -> dict[str, Any]:
        numbers["expires_at"] = _seconds(numbers["kept_until"])
        item = self._id(key) | {
            "work": {"S": shown_name(f"{key.task} {key.key}")[:_LONGEST_NAME]},  # for people who look into the table
            "claim_owner": {"S": owner},
        }
        item |= {name: {"N": str(number)} for name, number in numbers.items()}
        return item if fingerprint is None else item | {"print": {"B": fingerprint}}

    def _take(self, item: Mapping[str, Any], now: int) -> Mapping[str, Any] | None:
        """One try of a claim. `None`: it is there; else what is there instead."""
        # A greater token than this may have been given meanwhile, or by a clock that is ahead.
        done, found = self._calls.write(
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
        values = {**values, ":late": self._calls.now() - _MARGIN}
        typed = {
            name: {"B": value} if isinstance(value, bytes) else {"N": str(value)} for name, value in values.items()
        }
        more: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        return self._calls.write(
            "update_item",
            Key=self._id(key),
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues=typed,
            **more,
        )

    def _is_of(self, item: Mapping[str, Any], token: int) -> bool:
        return _number(item, "claim_token") == token and _kept(item, self._calls.now())

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
