"""`CloudQueue`: the portable handle of one queue, over any driver. Never subclassed.

It adds what every backend needs alike: batching, retries of transient errors, and refusing early what can't be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from cloudq.core.batching import Batcher
from cloudq.core.clock import EPOCH, SYSTEM_CLOCK, Clock
from cloudq.core.driver import (
    Canceller,
    Cancels,
    Capabilities,
    DeadLetterMover,
    Driver,
    Outgoing,
    QueueStats,
    Refusal,
    SendResult,
)
from cloudq.core.message import Message
from cloudq.core.observing import Observer
from cloudq.core.own_copy import own_copy
from cloudq.core.plan import outgoing
from cloudq.core.refusals import is_plain, is_unshared, refuse_unsupported, refused, takes_plain
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded
from cloudq.core.signatures import sign
from cloudq.core.signing_keys import SigningKeys
from cloudq.errors import CloudqError, MessageTooLarge, OptionError
from cloudq.queues.claim_check import Blob, ClaimCheck, referring
from cloudq.queues.storing import Parcel, Storing, out_of_order
from cloudq.queues.urls import CLAIM_CHECK_EXAMPLE

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudq.queues.dead_letters import DeadLetters
    from cloudq.queues.letters.editing import KnownTasks

logger = SafeLogger("cloudq")

TOO_LARGE_HINT: Final = (
    f"set CLOUDQ_CLAIM_CHECK to a store for large payloads, e.g. {CLAIM_CHECK_EXAMPLE} "
    "(docs/how-to/large-payloads.md), or send a reference to where the data are"
)


class CloudQueue:
    """One queue: send to it, look at it, empty it, work on its dead letters.

    Obtained by `app.queue("name")`.

    Args:
        name: The queue's name.
        driver: The backend.
        clock: Where the time comes from.
        claim_check: Where payloads go that are too large for the queue, or `None` to refuse them.
        keys: The first of them signs messages; `None`: they aren't signed.
        tasks: What is known of the messages' tasks, for edits of dead letters.
        observer: Told of each message that is sent; `None`: nobody is.
    """

    def __init__(
        self,
        name: str,
        driver: Driver,
        *,
        clock: Clock = SYSTEM_CLOCK,
        claim_check: ClaimCheck | None = None,
        keys: SigningKeys | None = None,
        tasks: KnownTasks | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.observer = observer
        self._driver = driver
        self._clock = clock
        self._claim_check = claim_check
        self._keys = keys
        self._signer = None if keys is None else keys.first
        self._tasks = tasks
        self.capabilities: Capabilities = driver.capabilities(name)
        self._cancels = self.capabilities.cancels is not Cancels.NOTHING
        self._takes_plain = takes_plain(name, self.capabilities)  # asked once: most messages are plain ones
        self._told_unshared = False
        self._storing = Storing(driver, self.capabilities, clock)
        self._batcher: Batcher[Parcel, SendResult] = Batcher(
            self._storing.store,
            max_items=self.capabilities.max_batch,
            max_bytes=self.capabilities.max_batch_bytes,
            size=_size,
            key=_ordering_key,
            max_wait=self._storing.longest_wait,
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
            BackendError: It may not be stored. A `TransientError` was tried again while time was left (see the backend
                URL's `timeout`).
        """
        result = self._batcher.call(self._prepare(message, self._storing.deadline()))
        if self.observer is not None:
            self.observer.sent(message, result)
        if result.error is not None:
            raise own_copy(result.error)  # the whole batch may have the same one
        return result

    @shielded
    def submit(self, message: Message) -> Future[SendResult]:
        """As `send`, without waiting: a flusher thread makes the call. Cancelling the future doesn't unsend.

        The future's result may carry an `error`, as the driver reported it.
        """
        future = self._batcher.submit(self._prepare(message, self._storing.deadline()))
        if self.observer is not None:
            future.add_done_callback(partial(_tell, self.observer, message))
        return future

    @shielded
    def send_all(self, messages: Sequence[Message]) -> list[SendResult]:
        """Stores many in full batches. Tries all; one result each, in order, with the error of those that failed."""
        results: dict[int, SendResult] = {}
        ready: list[tuple[int, Parcel]] = []
        ends = self._storing.deadline()
        broken: set[str | None] = set()
        for index, message in enumerate(messages):
            try:
                if message.ordering_key in broken:
                    raise out_of_order(message.ordering_key)
                ready.append((index, self._prepare(message, ends)))
            except CloudqError as error:
                results[index] = SendResult(error=error)
                if message.ordering_key is not None:
                    broken.add(message.ordering_key)
        stored = dict(self._storing.store_in_batches(ready))
        if self.observer is not None:
            for index, result in stored.items():
                self.observer.sent(messages[index], result)
        results.update(stored)
        return [results[index] for index in range(len(messages))]

    @shielded
    def store_copies(self, copies: Sequence[Outgoing]) -> list[SendResult]:
        """Stores copies that `plan()` or a redrive made, as they are. One result each, in order; never raises."""
        ends = self._storing.deadline()
        parcels = [(index, Parcel(copy, None, ends)) for index, copy in enumerate(copies)]
        return [result for _, result in sorted(self._storing.store_in_batches(parcels), key=itemgetter(0))]

    def prepared(self, message: Message) -> Outgoing:
        """The message in the form that the driver stores, checked against what the queue can do. No call to anything.

        A payload that is too large for it is given a blob, which `send` stores before the message.

        Raises:
            UnsupportedError: The queue can't do what the message asks for.
            MessageTooLarge: It is larger than the backend stores.
            PayloadError: It can't be encoded: its payload is nested too deep.
        """
        return self._prepare(message, timedelta(0)).outgoing

    def whole_body(self, message: Message) -> bytes:
        """The message's bytes for an outbox, the payload in them whatever its size. Checked as `send` checks it.

        Raises:
            UnsupportedError: The queue can't do what the message asks for.
            MessageTooLarge: It is larger than the backend stores, and there is no store for large payloads.
            PayloadError: It can't be encoded: its payload is nested too deep.
        """
        parcel = self._prepare(message, timedelta(0))
        return parcel.outgoing.body if parcel.blob is None else self._outgoing(message).body

    def _prepare(self, message: Message, ends: timedelta) -> Parcel:
        if not (self._takes_plain and is_plain(message)):
            refuse_unsupported(message, self.name, self.capabilities)
            if is_unshared(message, self.capabilities):
                self._tell_unshared()
        item = self._outgoing(message)
        most = roomy = self.capabilities.max_body
        sizes = self._storing.sizes
        learnt = sizes.of(self.name) if sizes.learnt else None
        if learnt is not None:
            most, roomy = min(most, learnt.limit), min(most, learnt.roomy)
        store = self._claim_check
        if store is not None and message.reference is None:
            refer = partial(self._referring, store, message)
            if len(item.body) <= store.threshold(roomy):
                return Parcel(item, None, ends, refer)
            item, blob = refer()
        else:
            blob = None
        if len(item.body) > most:
            raise MessageTooLarge(
                f"the message for {message.task!r} has {len(item.body):,} bytes; "
                f"queue {self.name!r} stores at most {most:,}",
                hint=(learnt and learnt.hint) or TOO_LARGE_HINT,
                size=len(item.body),
                limit=most,
            )
        return Parcel(item, blob, ends)

    def _tell_unshared(self) -> None:
        """Says once that fairness keys have no effect here: the same code may run where they have."""
        if self._told_unshared:
            return
        self._told_unshared = True
        logger.warning(
            "queue %s doesn't share its capacity by fairness_key: keys travel along, and have no effect here",
            self.name,
        )

    def _referring(self, store: ClaimCheck, message: Message) -> tuple[Outgoing, Blob]:
        blob = store.blob(message)
        return self._outgoing(referring(message, blob)), blob

    def _outgoing(self, message: Message) -> Outgoing:
        # What isn't put off needs no time.
        now = EPOCH if message.not_before is None else self._clock.now()
        item = outgoing(message, self.capabilities, now, cancellable=self._cancels)
        if self._signer is None or message.sealed is not None:
            return item
        return replace(item, body=sign(item.body, self._signer))

    @property
    def deadline(self) -> timedelta:
        """How long a send, or a `send_all` of what one call takes, lasts at most."""
        return self._storing.whole

    @shielded
    def cancel(self, receipt: str) -> bool:
        """Deletes a message that nobody was handed, by what its send gave; see `App.cancel`.

        Raises:
            UnsupportedError: The queue can't cancel. Nothing was changed.
            OptionError: The receipt is of another backend. Nothing was changed.
            BackendError: It may be cancelled or not.
        """
        if not self._cancels or not isinstance(self._driver, Canceller):
            raise refused(Refusal.CANCEL, self.name, self.capabilities)
        try:
            return self._driver.cancel(self.name, receipt)
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
        """The queue's dead letters: select, redrive, edit, purge, export, load."""
        from cloudq.queues.dead_letters import DeadLetters  # few programs look at theirs
        from cloudq.queues.letters.editing import Means

        return DeadLetters(
            self.name,
            self._driver.dead_letters(self.name),
            self.store_copies,
            self.capabilities,
            self._clock,
            mover=self._driver if isinstance(self._driver, DeadLetterMover) else None,
            means=Means(keys=self._keys, claim_check=self._claim_check, tasks=self._tasks),
        )


def _size(parcel: Parcel) -> int:
    return len(parcel.outgoing.body)


def _ordering_key(parcel: Parcel) -> str | None:
    return parcel.outgoing.ordering_key


def _tell(observer: Observer, message: Message, future: Future[SendResult]) -> None:
    if not future.cancelled() and future.exception() is None:
        observer.sent(message, future.result())
