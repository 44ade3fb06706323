"""`TableCalls`: the one way by which the store calls DynamoDB. Bounded in time; each failure is an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cloudq.aws_wire.bounded import Within
from cloudq.aws_wire.clients import Clients
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.errors import BackendUnavailable, StoreRefused, StoreUnavailable
from cloudq.stores.dynamodb.time import LONGEST_CALL, ServiceTime

_DENIED: Final = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"}
# What the service says of a request that it will never carry out: an item that is too large, say.
_INVALID: Final = "ValidationException"
_MOST_SAID: Final = 200
# A key that no record has: those are digests.
_NOTHING: Final = {"id": {"S": "-"}}


class TableCalls:
    """Makes calls on one table.

    Args:
        clients: Who makes them.
        table: The table's name.
        time: The service's time, which each answer tells.
        timeout: How long one call may take, at most `LONGEST_CALL`.
    """

    def __init__(self, clients: Clients, table: str, time: ServiceTime, *, timeout: timedelta = CALL_TIMEOUT) -> None:
        self._clients = clients
        self._table = table
        self._time = time
        self._timeout = min(timeout, LONGEST_CALL)

    def now(self) -> int:
        """The service's time, in microseconds since 1970.

        This machine's clock may be minutes off, and AWS still takes its signatures. A store that went by it would end
        the claims of others early; so where no answer has told the time yet, the first call is one that asks for it.
        """
        if not self._time.told:
            self.look()
        return self._time.now()

    def look(self) -> None:
        """Reads what isn't there: so the time is known, and that the table can be reached and read.

        Raises:
            StoreUnavailable: It can't be reached.
            StoreRefused: There is no such table, or it may not be read.
        """
        self.make("get_item", Key=_NOTHING, ConsistentRead=True)
        self._time.told = True  # or an answer has no date; to ask again would bring none either

    def make(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """One call; returns what botocore made of the answer.

        Args:
            method: The client's method.
            arguments: The call's own, apart from the table.

        Raises:
            ConditionFailed: What a write was made dependent on isn't so.
            StoreUnavailable: It failed, or may have been carried out or not.
            StoreRefused: There is no such table, or these credentials may not.
        """
        since = self._time.elapsed()
        try:
            with Within(self._timeout):
                answer: Mapping[str, Any] = getattr(self._clients.caller(), method)(TableName=self._table, **arguments)
        except ClientError as error:
            self._time.learn(error.response, since)
            raise self._meant(error, method) from error
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"the store's table {self._table!r} can't be reached: {type(error).__name__}"
            ) from error
        except BackendUnavailable as error:  # the answer was cut, or there are no credentials to sign by
            raise StoreUnavailable(f"the store's table {self._table!r} can't be reached: {error}") from error
        self._time.learn(answer, since)
        return answer

    def write(self, method: str, **arguments: Any) -> tuple[bool, Mapping[str, Any] | None]:
        """Whether a conditional write was carried out, and if not, what is there.

        Args:
            method: The client's method.
            arguments: The call's own, its condition among them.
        """
        try:
            self.make(method, ReturnValuesOnConditionCheckFailure="ALL_OLD", **arguments)
        except ConditionFailed as failed:
            return False, failed.item
        return True, None

    def close(self) -> None:
        """Closes the connections that are idle."""
        self._clients.close()

    def _meant(self, error: ClientError, method: str) -> Exception:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ConditionalCheckFailedException":
            return ConditionFailed(error.response.get("Item"))
        if code == "ResourceNotFoundException":
            return StoreRefused(
                f"DynamoDB has no table {self._table!r} here", hint="terraform/aws-sqs makes it: idempotency_table"
            )
        if code in _DENIED:
            return StoreRefused(f"DynamoDB refuses {method} on table {self._table!r}: {code}")
        if code == _INVALID:
            said = error.response["Error"].get("Message", "")
            return StoreRefused(f"DynamoDB refuses {method} on table {self._table!r}: {said[:_MOST_SAID]}")
        return StoreUnavailable(f"the store's table {self._table!r} failed: {code}")


class ConditionFailed(Exception):
    """What a write was made dependent on isn't so; nothing was written.

    Args:
        item: What is there, if anything is.
    """

    def __init__(self, item: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.item = item
