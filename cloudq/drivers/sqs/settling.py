"""Deleting, releasing and extending: batches by queue, and what SQS doesn't say about leases that are over.

| the lease | ack | release, extension |
|---|---|---|
| holds | sent | sent |
| was settled, or its queue purged, here | `LeaseLost` | `LeaseLost` |
| has run out, FIFO | `LeaseLost` | `LeaseLost` |
| has run out, standard | sent, and `LeaseLost`: finished work should not run again (semantics 10) | `LeaseLost` |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, ExtendResult, NativeDeadLetter, Release, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import is_ordered
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import lease_lost, of_item, translate
from cloudq.drivers.sqs.limits import MAX_BATCH, seconds_down, seconds_up
from cloudq.drivers.sqs.receipts import Receipt
from cloudq.errors import LeaseLost, UnsupportedError

SETTLED: Final = SettleResult()
_UNSUPPORTED: Final = SettleResult(
    error=UnsupportedError("SQS moves no message to its dead-letter queue on demand: copy it, then ack")
)


class _Step:
    """One item of a batch: its place in the answer, its receipt, and for a change the new visibility timeout."""

    __slots__ = ("index", "lease", "receipt", "seconds")

    def __init__(self, index: int, lease: Lease, receipt: Receipt, seconds: int | None = None) -> None:
        self.index = index
        self.lease = lease
        self.receipt = receipt
        self.seconds = seconds

    def parameters(self, place: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {"Id": str(place), "ReceiptHandle": self.receipt.handle}
        if self.seconds is not None:
            parameters["VisibilityTimeout"] = self.seconds
        return parameters


class Settling:
    """What becomes of leases.

    Args:
        client: Gives the client to call.
        clock: Where the time comes from.
    """

    def __init__(self, client: Callable[[], SqsClient], clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._purged: dict[str, datetime] = {}

    def purged(self, url: str) -> None:
        """All leases on messages of the queue are over."""
        self._purged[url] = self._clock.now()

    def settle(self, finals: Sequence[FinalCall]) -> list[SettleResult]:
        """Carries out each step, ten a call; one result each, in order."""
        results = [SETTLED] * len(finals)
        steps: dict[tuple[str, bool], list[_Step]] = defaultdict(list)
        for index, final in enumerate(finals):
            made = self._step(index, final)
            if isinstance(made, _Step):
                steps[made.receipt.url, made.seconds is None].append(made)
            else:
                results[index] = made
        for batch in _batches(steps.values()):
            now = self._clock.now()
            try:
                errors = self._called(batch)
            except BaseException:
                for step in batch:
                    step.receipt.give_back()
                raise
            for step, error in zip(batch, errors, strict=True):
                if error is not None and not isinstance(error, LeaseLost):
                    step.receipt.give_back()
                    results[step.index] = SettleResult(error=error)
                elif error is not None or step.receipt.over(now):
                    results[step.index] = SettleResult(error=error or lease_lost(step.lease))
        return results

    def extend(self, leases: Sequence[Lease], by: timedelta) -> list[ExtendResult]:
        """Makes each lease end `by` from now, or at its hard limit; one result each, in order."""
        results: list[ExtendResult | None] = [None] * len(leases)
        steps: dict[str, list[_Step]] = defaultdict(list)
        now = self._clock.now()
        for index, lease in enumerate(leases):
            receipt = lease.receipt
            if not isinstance(receipt, Receipt) or receipt.settled or self._over(receipt, now):
                results[index] = ExtendResult(error=lease_lost(lease))
                continue
            seconds = min(seconds_up(by), seconds_down(receipt.hard_limit - now))
            if seconds > 0:
                steps[receipt.url].append(_Step(index, lease, receipt, seconds))
            else:
                results[index] = ExtendResult(expires_at=receipt.expires_at)  # nothing more is granted
        for batch in _batches(steps.values()):
            now = self._clock.now()
            for step, error in zip(batch, self._called(batch), strict=True):
                if error is None:
                    step.receipt.expires_at = now + min(by, timedelta(seconds=step.seconds or 0))
                    results[step.index] = ExtendResult(expires_at=step.receipt.expires_at)
                else:
                    results[step.index] = ExtendResult(error=error)
        return [result for result in results if result is not None]

    def give_back(self, url: str, queue: str, handles: Sequence[str]) -> None:
        """Makes messages visible again that nobody was told of."""
        client = self._client()
        for start in range(0, len(handles), MAX_BATCH):
            entries = [
                {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for place, handle in enumerate(handles[start : start + MAX_BATCH])
            ]
            try:
                client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
            except Exception as error:
                raise translate(error, queue) from error

    def _step(self, index: int, final: FinalCall) -> _Step | SettleResult:
        """What is to be sent for a final step, its receipt taken; or what is reported at once."""
        lease, step, receipt = final.lease, final.step, final.lease.receipt
        if isinstance(step, NativeDeadLetter):
            return _UNSUPPORTED
        now = self._clock.now()
        if not isinstance(receipt, Receipt) or self._is_purged(receipt):
            return SettleResult(error=lease_lost(lease))
        if receipt.over(now) and (isinstance(step, Release) or is_ordered(lease.queue)):
            return SettleResult(error=lease_lost(lease))
        if not receipt.take():
            return SettleResult(error=lease_lost(lease))
        if isinstance(step, Ack):
            return _Step(index, lease, receipt)
        return _Step(index, lease, receipt, min(seconds_up(step.delay), seconds_down(receipt.hard_limit - now)))

    def _over(self, receipt: Receipt, now: datetime) -> bool:
        return receipt.over(now) or self._is_purged(receipt)

    def _is_purged(self, receipt: Receipt) -> bool:
        purged = self._purged.get(receipt.url)
        return purged is not None and receipt.since <= purged

    def _called(self, batch: Sequence[_Step]) -> list[Exception | None]:
        """Makes the call for steps of one queue and one kind. The error of each, in order."""
        queue, url = batch[0].lease.queue, batch[0].receipt.url
        client = self._client()
        call = client.delete_message_batch if batch[0].seconds is None else client.change_message_visibility_batch
        entries = [step.parameters(place) for place, step in enumerate(batch)]
        try:
            answer: Mapping[str, Any] = call(QueueUrl=url, Entries=entries)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
            return [translate(error, queue)] * len(batch)
        errors: list[Exception | None] = [None] * len(batch)
        for failed in answer.get("Failed", ()):
            errors[int(failed["Id"])] = of_item(failed, queue)
        return errors


def _batches(kinds: Iterator[list[_Step]] | Any) -> Iterator[list[_Step]]:
    for steps in kinds:
        for start in range(0, len(steps), MAX_BATCH):
            yield steps[start : start + MAX_BATCH]
