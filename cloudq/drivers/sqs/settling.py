"""Deleting, releasing and extending: batches by queue, and what SQS doesn't say about leases that are over.

| the lease | ack | release | extension |
|---|---|---|---|
| holds | sent | sent | sent |
| is being deleted here | `LeaseLost` | `LeaseLost` | sent: the deletion may fail, and then it has to last |
| is being released here | `LeaseLost` | `LeaseLost` | not sent, as it would hide the message again |
| was settled, or its queue purged, here | `LeaseLost` | `LeaseLost` | `LeaseLost` |
| has run out, FIFO | `LeaseLost` | `LeaseLost` | `LeaseLost` |
| has run out, standard | sent, and `LeaseLost` | `LeaseLost` | `LeaseLost` |

What is deleted late was finished, and should not run again (semantics 10).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from cloudq.core.clock import Clock, later
from cloudq.core.delivery import Lease
from cloudq.core.driver import ExtendResult, NativeDeadLetter, Release, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import is_ordered
from cloudq.drivers.sqs.answers import unnamed_too
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.faults import lease_lost
from cloudq.drivers.sqs.limits import MAX_BATCH, RELEASE_MARGIN, seconds_down, seconds_up
from cloudq.drivers.sqs.receipts import Receipt, State
from cloudq.errors import BackendUnavailable, LeaseLost, UnsupportedError

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
        calls: How to call.
        clock: Where the time comes from.
    """

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._purged: dict[str, timedelta] = {}

    def note_purge(self, url: str) -> None:
        """Notes that all leases on messages of the queue are over."""
        self._purged[url] = self._clock.elapsed()

    def settle(self, finals: Sequence[FinalCall]) -> list[SettleResult]:
        """Carries out each step, ten a call; one result each, in order."""
        results = [SETTLED] * len(finals)
        steps: dict[tuple[str, bool], list[_Step]] = defaultdict(list)
        try:
            elapsed = self._clock.elapsed()
            for index, final in enumerate(finals):
                made = self._step(index, final, elapsed)
                if isinstance(made, _Step):
                    steps[made.receipt.url, made.seconds is None].append(made)
                else:
                    results[index] = made
            for batch in _batches(steps.values()):
                self._settle(batch, results)
        finally:
            # All that wasn't confirmed may be tried again, even if an unexpected error ends this.
            for taken in steps.values():
                for step in taken:
                    step.receipt.give_back()
        return results

    def extend(self, leases: Sequence[Lease], by: timedelta) -> list[ExtendResult]:
        """Makes each lease end `by` from now, or at its hard limit; one result each, in order."""
        results: list[ExtendResult | None] = [None] * len(leases)
        steps: dict[str, list[_Step]] = defaultdict(list)
        elapsed = self._clock.elapsed()
        for index, lease in enumerate(leases):
            receipt = lease.receipt
            if not isinstance(receipt, Receipt) or receipt.state is State.SETTLED or self._over(receipt, elapsed):
                results[index] = ExtendResult(error=lease_lost(lease))
                continue
            seconds = min(seconds_up(by), seconds_down(receipt.hard_end - elapsed))
            if seconds > 0 and receipt.state is not State.RELEASING:
                steps[receipt.url].append(_Step(index, lease, receipt, seconds))
            else:
                results[index] = self._granted(receipt.ends, elapsed)  # nothing more
        for batch in _batches(steps.values()):
            self._extend(batch, by, results)
        return [result for result in results if result is not None]

    def give_back(self, url: str, queue: str, handles: Sequence[str]) -> None:
        """Makes messages visible again that were never handed over. If that fails they come back after their leases."""
        for start in range(0, len(handles), MAX_BATCH):
            entries = [
                {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for place, handle in enumerate(handles[start : start + MAX_BATCH])
            ]
            self._calls.make("change_message_visibility_batch", queue, QueueUrl=url, Entries=entries)

    def _step(self, index: int, final: FinalCall, elapsed: timedelta) -> _Step | SettleResult:
        """The request for a final step, with its receipt taken; or, without a call, the result to report."""
        lease, step, receipt = final.lease, final.step, final.lease.receipt
        if isinstance(step, NativeDeadLetter):
            return _UNSUPPORTED
        if not isinstance(receipt, Receipt) or self._is_purged(receipt):
            return SettleResult(error=lease_lost(lease))
        if receipt.over(elapsed) and (isinstance(step, Release) or is_ordered(lease.queue)):
            return SettleResult(error=lease_lost(lease))
        seconds: int | None = None
        if isinstance(step, Release):
            seconds = min(seconds_up(step.delay), seconds_down(receipt.hard_end - elapsed - RELEASE_MARGIN))
        if not receipt.take(State.DELETING if seconds is None else State.RELEASING):
            return SettleResult(error=lease_lost(lease))
        return _Step(index, lease, receipt, seconds)

    def _settle(self, batch: Sequence[_Step], results: list[SettleResult]) -> None:
        elapsed = self._clock.elapsed()
        for step, error in zip(batch, self._call(batch), strict=True):
            if error is not None and not isinstance(error, LeaseLost):
                results[step.index] = SettleResult(error=error)
                continue
            step.receipt.confirm()
            if error is not None or step.receipt.over(elapsed):
                results[step.index] = SettleResult(error=error or lease_lost(step.lease))

    def _extend(self, batch: Sequence[_Step], by: timedelta, results: list[ExtendResult | None]) -> None:
        elapsed = self._clock.elapsed()
        for step, error in zip(batch, self._call(batch), strict=True):
            receipt = step.receipt
            if error is None:
                receipt.ends = elapsed + min(by, timedelta(seconds=step.seconds or 0))
                results[step.index] = self._granted(receipt.ends, elapsed)
            elif isinstance(error, LeaseLost) and receipt.state is State.DELETING:
                # The deletion under way has won, perhaps: its own answer says whether it did.
                results[step.index] = ExtendResult(error=_undecided(step.lease))
            else:
                results[step.index] = ExtendResult(error=error)

    def _granted(self, ends: timedelta, elapsed: timedelta) -> ExtendResult:
        return ExtendResult(expires_at=later(self._clock.now(), ends - elapsed), ends=ends)

    def _over(self, receipt: Receipt, elapsed: timedelta) -> bool:
        return receipt.over(elapsed) or self._is_purged(receipt)

    def _is_purged(self, receipt: Receipt) -> bool:
        purged = self._purged.get(receipt.url)
        return purged is not None and receipt.since <= purged

    def _call(self, batch: Sequence[_Step]) -> list[Exception | None]:
        """Makes the call for steps of one queue and one kind. The error of each, in order."""
        queue, url = batch[0].lease.queue, batch[0].receipt.url
        deletes = batch[0].seconds is None
        operation = "delete_message_batch" if deletes else "change_message_visibility_batch"
        entries = [step.parameters(place) for place, step in enumerate(batch)]
        try:
            answer = self._calls.make(operation, queue, QueueUrl=url, Entries=entries)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
            return [error] * len(batch)
        return unnamed_too(answer, [entry["Id"] for entry in entries], queue, done="deleted" if deletes else "changed")


def _undecided(lease: Lease) -> BackendUnavailable:
    return BackendUnavailable(f"a message of queue {lease.queue!r} is being deleted, so its lease wasn't extended")


def _batches(kinds: Iterable[list[_Step]]) -> Iterator[list[_Step]]:
    for steps in kinds:
        for start in range(0, len(steps), MAX_BATCH):
            yield steps[start : start + MAX_BATCH]
