"""`CloudQueue`: the portable handle of one queue, over any driver. Never subclassed.

It adds what every backend needs alike: batching, retries of transient errors, and refusing early what can't be stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cloudq.core.batching import Batcher
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import (
    Canceller,
    Cancels,
    Capabilities,
    DeadLetterMover,
    Driver,
    Outgoing,
    QueueStats,
    SendResult,
)
from cloudq.core.message import Message, is_dead_letter_queue
from cloudq.core.plan import outgoing
from cloudq.core.shield import shielded
from cloudq.errors import CloudqError, MessageTooLarge, OptionError, TransientError, UnsupportedError
from cloudq.queues.claim_check import ClaimCheck, claimed, referring, save_blobs
from cloudq.queues.dead_letters import DeadLetters

if TYPE_CHECKING:
    from concurrent.futures import Future

# Beyond the SDK's own tries. A producer's caller waits meanwhile, so it is short.
SEND_TRIES = 4
SEND_PATIENCE = timedelta(seconds=15)


class CloudQueue:
    """One queue: send to it, look at it, empty it, work on its dead letters.

    Obtained by `app.queue("name")`.

    Args:
        name: The queue's name.
        driver: The backend.
        clock: Where the time comes from.
        claim_check: Where payloads go that are too large for the queue, or `None` to refuse them.
    """

    def __init__(
        self, name: str, driver: Driver, *, clock: Clock = SYSTEM_CLOCK, claim_check: ClaimCheck | None = None
    ) -> None:
        self.name = name
        self._driver = driver
        self._clock = clock
        self._claim_check = claim_check
        self.capabilities: Capabilities = driver.capabilities(name)
        self._batcher: Batcher[Outgoing, SendResult] = Batcher(
            self._store,
            max_items=self.capabilities.max_batch,
            max_bytes=self.capabilities.max_batch_bytes,
            size=_size,
            key=_ordering_key,
            # In real time, whatever the messages' clock says: it only measures how long a call is in flight.
            name=f"cloudq-send-{name}",
        )

    def __repr__(self) -> str:
        """The queue's name."""
        return f"CloudQueue({self.name!r})"

    @shielded
    def send(self, message: Message) -> SendResult:
        """Stores a message, sharing the call with other threads' sends.

        Raises:
            UnsupportedError: This queue can't do what the message asks for. Nothing was stored.
            MessageTooLarge: It is larger than the backend stores. Nothing was stored.
            BackendError: It was not stored; a `TransientError` was retried before.
        """
        return _raised(self._batcher.call(self.prepared(message)))

    @shielded
    def submit(self, message: Message) -> Future[SendResult]:
        """As `send`, without waiting: a flusher thread makes the call. Cancelling the future doesn't unsend.

        The future's result may carry an `error`, as the driver reported it.
        """
        return self._batcher.submit(self.prepared(message))

    @shielded
    def send_all(self, messages: Sequence[Message]) -> list[SendResult]:
        """Stores many in full batches. Tries all; one result each, in order, with the error of those that failed."""
        results: list[SendResult | None] = [None] * len(messages)
        ready: list[tuple[int, Outgoing]] = []
        broken: set[str | None] = set()
        for index, message in enumerate(messages):
            try:
                if message.ordering_key in broken:
                    raise _out_of_order(message.ordering_key)
                ready.append((index, self.prepared(message)))
            except CloudqError as error:
                results[index] = SendResult(error=error)
                if message.ordering_key is not None:
                    broken.add(message.ordering_key)
        for index, result in self._stored_in_batches(ready):
            results[index] = result
        return [result for result in results if result is not None]

    @shielded
    def store_copies(self, copies: Sequence[Outgoing]) -> list[SendResult]:
        """Stores copies that `plan()` or a redrive made, as they are. One result each, in order; never raises."""
        return [result for _, result in sorted(self._stored_in_batches(list(enumerate(copies))), key=itemgetter(0))]

    def prepared(self, message: Message) -> Outgoing:
        """The message in the form that the driver stores, checked against what the queue can do. No call to anything.

        A payload that is too large for it is given a blob, which `send` stores before the message.

        Raises:
            UnsupportedError: The queue can't do what the message asks for.
            MessageTooLarge: It is larger than the backend stores.
            PayloadError: It can't be encoded: its payload is nested too deep.
        """
        self._refuse_unsupported(message)
        now = self._clock.now()
        item = outgoing(message, self.capabilities, now)
        store = self._claim_check
        claims = store is not None and message.reference is None
        if store is not None and claims and len(item.body) > store.threshold(self.capabilities.max_body):
            blob = store.blob(message)
            item = claimed(outgoing(referring(message, blob), self.capabilities, now), blob)
        if len(item.body) > self.capabilities.max_body:
            raise MessageTooLarge(
                f"the message for {message.task!r} has {len(item.body):,} bytes; "
                f"queue {self.name!r} stores at most {self.capabilities.max_body:,}",
                hint="configure a claim-check store, or store the data elsewhere and send a reference to it",
            )
        return item if self.capabilities.cancels is Cancels.NOTHING else replace(item, cancellable=True)

    @shielded
    def cancel(self, handle: str) -> bool:
        """Deletes a message that nobody was handed, by what its send gave; see `App.cancel`.

        Raises:
            UnsupportedError: The queue can't cancel. Nothing was changed.
            OptionError: The handle is of another backend. Nothing was changed.
            BackendError: It may be cancelled or not.
        """
        if self.capabilities.cancels is Cancels.NOTHING or not isinstance(self._driver, Canceller):
            raise UnsupportedError(
                f"queue {self.name!r} can't take back what was sent to it",
                hint="let the task itself look whether it is still wanted",
            )
        try:
            return self._driver.cancel(self.name, handle)
        except ValueError as error:
            raise OptionError(
                f"the receipt is of another backend than this app's: {error}",
                hint="cancel with the URL that the message was sent with",
            ) from error

    @shielded
    def stats(self) -> QueueStats:
        """How full the queue is; `None` where the backend doesn't say."""
        return self._driver.stats(self.name)

    @shielded
    def purge(self) -> int | None:
        """Deletes all messages, those being worked on too, but no dead letter. Returns how many, where known."""
        return self._driver.purge(self.name)

    @property
    def dead_letters(self) -> DeadLetters:
        """The queue's dead letters: list, show, redrive, purge."""
        return DeadLetters(
            self.name,
            self._driver.dead_letters(self.name),
            self.store_copies,
            self.capabilities,
            self._clock,
            mover=self._driver if isinstance(self._driver, DeadLetterMover) else None,
        )

    def _refuse_unsupported(self, message: Message) -> None:
        capabilities = self.capabilities
        if is_dead_letter_queue(self.name):
            raise UnsupportedError(
                f"{self.name!r} is the name of a dead-letter queue: nothing is sent there", hint="choose another name"
            )
        if not capabilities.copies:
            raise UnsupportedError(
                f"{self.name!r} is a topic's subscription: nothing can be sent there by itself",
                hint="send to its topic",
            )
        if message.ordering_key is not None and not capabilities.ordering:
            raise UnsupportedError(
                f"queue {self.name!r} keeps no order, so ordering_key is refused",
                hint="send to a queue whose name ends in .fifo; Google Cloud Tasks has no such queues",
            )
        if capabilities.ordering and message.ordering_key is None:
            raise UnsupportedError(
                f"queue {self.name!r} keeps the order of an ordering_key, and the message has none",
                hint="pass ordering_key=..., or send to a queue without .fifo",
            )
        if message.ordering_key is not None and message.not_before is not None:
            raise UnsupportedError(
                "delay and ordering_key exclude each other: a delayed message would lose its place in the order",
                hint="leave one of them out",
            )
        if message.time_limit is not None:
            refuse_time_limit(message.time_limit, capabilities, f"task {message.task!r}", self.name)
        if message.fairness_key is not None and not capabilities.fairness:
            raise UnsupportedError(
                f"queue {self.name!r} doesn't share its capacity by fairness_key", hint="leave it out"
            )

    def _batches(self, items: Sequence[tuple[int, Outgoing]]) -> Iterator[list[tuple[int, Outgoing]]]:
        """Cuts into batches of one queue by count and bytes; of an ordering key there is one item a batch, in order."""
        limit, most_bytes = self.capabilities.max_batch, self.capabilities.max_batch_bytes
        batch: list[tuple[int, Outgoing]] = []
        keys: set[str] = set()
        size = 0
        for entry in items:
            item = entry[1]
            full = len(batch) >= limit or (most_bytes is not None and size + len(item.body) > most_bytes)
            if batch and (full or item.ordering_key in keys or item.queue != batch[0][1].queue):
                yield batch
                batch, keys, size = [], set(), 0
            batch.append(entry)
            size += len(item.body)
            if item.ordering_key is not None:
                keys.add(item.ordering_key)
        if batch:
            yield batch

    def _stored_in_batches(self, items: Sequence[tuple[int, Outgoing]]) -> Iterator[tuple[int, SendResult]]:
        """Stores batch after batch. After a failure, later items of the same ordering key are not tried."""
        broken: set[str] = set()
        for batch in self._batches(items):
            tried = []
            for index, item in batch:
                if item.ordering_key in broken:
                    yield index, SendResult(error=_out_of_order(item.ordering_key))
                else:
                    tried.append((index, item))
            stored = self._store([item for _, item in tried]) if tried else []
            for (index, item), result in zip(tried, stored, strict=True):
                if result.error is not None and item.ordering_key is not None:
                    broken.add(item.ordering_key)
                yield index, result

    def _store(self, items: Sequence[Outgoing]) -> Sequence[SendResult]:
        """One call of the driver, and more for the items that failed transiently. Never raises."""
        results = self._sent(items)
        failed = [index for index, result in enumerate(results) if isinstance(result.error, TransientError)]
        if not failed:
            return results
        # Each is tried again alone or together with its like; an item is stored or reported, never both.
        for index, result in zip(failed, self._tried_again([items[index] for index in failed]), strict=True):
            results[index] = result
        return results

    def _tried_again(self, items: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Tries with back-off, each time only what still fails."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, stop_after_delay, wait_random_exponential

        results = [SendResult()] * len(items)
        pending = list(range(len(items)))

        def once() -> list[int]:
            for index, result in zip(list(pending), self._sent([items[index] for index in pending]), strict=True):
                results[index] = result
                if not isinstance(result.error, TransientError):
                    pending.remove(index)
            return pending

        Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_attempt(SEND_TRIES) | stop_after_delay(SEND_PATIENCE),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry_error_callback=lambda _: None,
        )(once)
        return results

    def _sent(self, items: Sequence[Outgoing]) -> list[SendResult]:
        unsaved = save_blobs(items)
        if unsaved:
            # Nothing may refer to a blob that isn't there.
            sent = iter(self._sent([item for index, item in enumerate(items) if index not in unsaved]))
            return [SendResult(error=unsaved[index]) if index in unsaved else next(sent) for index in range(len(items))]
        try:
            return list(self._driver.send(items)) if items else []
        except Exception as error:  # noqa: BLE001 - reported for each item: the failure of some never hides the others
            return [SendResult(error=error)] * len(items)


def refuse_time_limit(limit: timedelta, capabilities: Capabilities, task: str, queue: str) -> None:
    """Refuses a task's time limit that the queue's leases can't last.

    Raises:
        UnsupportedError: A run could be handed to somebody else before it is over.
    """
    longest = capabilities.max_lease
    if longest is not None and not capabilities.extendable and limit > longest:
        raise UnsupportedError(
            f"{task} has a time limit of {limit}, and queue {queue!r} waits {longest} at most for a run",
            hint="cut the work into steps that send the next one, or use a backend whose leases can be extended",
        )


def _size(item: Outgoing) -> int:
    return len(item.body)


def _ordering_key(item: Outgoing) -> str | None:
    return item.ordering_key


def _raised(result: SendResult) -> SendResult:
    if result.error is not None:
        raise result.error
    return result


def _out_of_order(key: str | None) -> TransientError:
    return TransientError(
        f"not tried: an earlier message of ordering key {key!r} was not stored, and this one must not overtake it",
        hint="send the failed ones again, in order",
    )
