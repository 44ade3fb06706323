"""`ServiceBusDriver`: the driver contract over Azure Service Bus."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final as Const
from typing import cast
from uuid import UUID

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, Capabilities, ExtendResult, Final, Outgoing, SendResult, SettleResult
from cloudq.core.message import is_ordered
from cloudq.core.plain_text import check_plain_text
from cloudq.drivers.service_bus import batch_delete, deadlines, inspecting, limits, receiving, scheduling, sending
from cloudq.drivers.service_bus.admin import Admin, admin_client
from cloudq.drivers.service_bus.client import Clients, check_emulator, client_of
from cloudq.drivers.service_bus.dead_letters import ServiceBusDeadLetters
from cloudq.drivers.service_bus.faults import translate, translate_receive
from cloudq.drivers.service_bus.links import Link, Taken
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.managing import Managing
from cloudq.drivers.service_bus.receipts import Holder, LockedElsewhere, Progress, Receipt
from cloudq.drivers.service_bus.reporting import OfNamespace
from cloudq.drivers.service_bus.sessions import Sessions
from cloudq.drivers.service_bus.settling import Settling
from cloudq.errors import BackendError, LeaseLost

# How long a receive of ready messages may take, in real time.
PURGE_LOOK: Const = timedelta(milliseconds=500)
PURGE_PAGE: Const = 500


class ServiceBusDriver(Managing, OfNamespace):
    """Queues and subscriptions of one namespace.

    A queue whose name ends in `.fifo` has sessions, one for each ordering key; no other has. In a child process after
    `fork` new connections are made.

    Args:
        namespace: The namespace's host, `NAMESPACE.servicebus.windows.net`.
        connection_string: Used instead of the environment's credentials.
        prefix: What the queues' names on Service Bus start with.
        dedup_window: For how long the queues remember ids (their duplicate detection), or `None` for not at all.
        max_hold: The longest that a message of a session or a subscription is held for a retry, since no copy of it can
            wait; for a longer delay it comes again after this.
        max_message: The most bytes of a message that the namespace's tier takes.
        lock: How long the queues' locks last, where somebody knows it: by default it is learnt from the first one.
        timeout: How long a whole operation may take, in real time. One call of a method ends within a third of it,
            `receive` apart; `purge` and what takes dead letters make several, each of which does.
        admin_endpoint: Where an emulator answers what is asked of a namespace's management.
        allow_insecure: Whether an emulator that is called without TLS may be on another machine.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        namespace: str,
        *,
        connection_string: str | None = None,
        prefix: str = "",
        dedup_window: timedelta | None = None,
        max_hold: timedelta = limits.MAX_HOLD,
        max_message: int = limits.MAX_MESSAGE,
        lock: timedelta | None = None,
        timeout: timedelta = limits.TIMEOUT,
        admin_endpoint: str | None = None,
        allow_insecure: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if admin_endpoint is not None:
            check_plain_text(admin_endpoint, setting="admin_endpoint", allowed=allow_insecure)
        if connection_string is not None:
            check_emulator(connection_string, allowed=allow_insecure)
        self._namespace = namespace
        self._prefix = prefix
        self._dedup_window = dedup_window
        self._max_hold = max_hold
        self._max_message = max_message
        self._lock_duration = lock
        self._timeout = timeout
        self._patience = timeout / limits.CALLS
        self._clock = clock

        def client() -> ServiceBusClient:
            return client_of(namespace, connection_string)

        def administration() -> ServiceBusAdministrationClient:
            return admin_client(namespace, connection_string, admin_endpoint, patience=self._patience)

        self._clients = Clients(client, prefix)
        self._admin = Admin(administration, prefix, dedup_window, lock)
        self._start()
        _drivers.add(self)

    def __repr__(self) -> str:
        """The namespace."""
        return f"ServiceBusDriver({self._namespace!r})"

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[tuple[str, bool], Link] = {}
        self._sessions: dict[str, Sessions] = {}
        self._spans: dict[str, LockSpan] = {}
        self._settling = Settling(self._clock)
        self._closed = threading.Event()

    @property
    def held(self) -> int:
        """How many messages are held here until their retry is due (semantics 17)."""
        return self._settling.held

    def capabilities(self, queue: str) -> Capabilities:
        """Those of a queue, of one with sessions where the name ends in `.fifo`, or of a subscription."""
        return limits.capabilities(
            queue,
            max_message=self._max_message,
            dedup_window=self._dedup_window,
            max_hold=self._max_hold,
            timeout=self._timeout,
        )

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """One call, or more if properties make the batch too large for one. A delayed message is scheduled."""
        if not outgoing:
            return []
        queue = outgoing[0].queue
        if self._closed.is_set():
            return [SendResult(error=BackendError("this driver is closed"))] * len(outgoing)
        try:
            with deadlines.within(self._patience), self._clients.sender(queue) as sender:
                return self._told(
                    "Send", queue, lambda: sending.store(sender, outgoing, self._clock, lambda: self._place(queue))
                )
        except Exception as error:  # noqa: BLE001 - reported for each item
            return [SendResult(error=translate(error, queue))] * len(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Leases are as long as the queue's locks, whatever is asked for; of a session one message at a time."""
        del lease
        if self._closed.is_set() or limit < 1:
            return []
        try:
            if is_ordered(queue):
                got = self._told("Receive", queue, lambda: self._session_queue(queue).receive(limit, wait))
                return list(self._deliveries(queue, [(slot, Taken(one.message, slot.ends)) for slot, one in got]))
            link = self._link(queue)
            taken = self._told("Receive", queue, lambda: link.receive(limit, wait))
            return list(self._deliveries(queue, [(link, one) for one in taken]))
        except Exception as error:
            if self._closed.is_set():
                return []
            raise translate_receive(error, queue) from error

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """All answers are awaited together. A release with a delay is held, and given back when it is due."""
        with deadlines.within(self._patience):
            queue = finals[0].lease.queue if finals else None
            return self._told("Settle", queue, lambda: self._settling.settle(finals))

    def watch(self, lease: Lease, lost: Callable[[str], None]) -> None:
        """A session's lock ends with its link. A message's own lock outlives it, so there is nothing to report."""
        if isinstance(lease.receipt, Receipt):
            lease.receipt.holder.watch(lease.receipt.message, lost)

    def lease_by_token(self, queue: str, token: UUID, *, expires_at: datetime) -> Lease:
        """A lease of a message that somebody else received from a queue without sessions. Makes no call.

        It settles and extends like one of a receive, by the lock's token.
        """
        message = cast("ServiceBusReceivedMessage", LockedElsewhere(token))  # all that settling by a token asks of it
        ends = self._clock.elapsed() + (expires_at - self._clock.now())
        return Lease(queue=queue, receipt=Receipt(self._link(queue), message), expires_at=expires_at, ends=ends)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Grants what the queue's lock says, whatever is asked for."""
        del by
        held = [_is_held(lease) for lease in leases]
        with deadlines.within(self._patience):
            queue = leases[0].queue if leases else None
            results = self._told("RenewLock", queue, lambda: self._settling.extend(leases))
        for lease, was_held, result in zip(leases, held, results, strict=True):
            # Not one that was settled meanwhile. A session's lock may also have ended with its link.
            ended_early = isinstance(result.error, LeaseLost) and was_held and _is_held(lease)
            if ended_early and not is_ordered(lease.queue) and (span := self._spans.get(lease.queue)):
                span.note_early_end()
        return results

    def interrupt(self) -> None:
        """Makes receives under way return at their next read."""
        for link in list(self._links.values()):
            link.interrupt()
        for sessions in list(self._sessions.values()):
            sessions.interrupt()

    def purge(self, queue: str) -> int:
        """Cancels what is scheduled and deletes what is ready, by batches, by receiving the rest. Locked ones stay."""
        count = self._cancel_scheduled(queue)
        if not is_ordered(queue):  # of one with sessions a batch would be of one session that is held
            now = self._clock.now()
            count += batch_delete.delete_enqueued(self._link(queue), now, queue=queue, patience=self._patience)
        while deliveries := self.receive(queue, limit=PURGE_PAGE, wait=PURGE_LOOK, lease=limits.MAX_LOCK):
            for result in self.settle([Final(lease=delivery.lease, step=_ACK) for delivery in deliveries]):
                if result.error is not None:
                    raise result.error
                count += 1
        return count

    def _cancel_scheduled(self, queue: str) -> int:
        """Cancels what is scheduled; how many. A queue with sessions has none."""
        if is_ordered(queue) or limits.is_subscription(queue):
            return 0
        try:
            with deadlines.within(self._patience):
                numbers = self._link(queue).ask(scheduling.find_scheduled)
            for start in range(0, len(numbers), limits.MAX_BATCH):
                with deadlines.within(self._patience), self._clients.sender(queue) as sender:
                    sender.cancel_scheduled_messages(numbers[start : start + limits.MAX_BATCH])
        except Exception as error:
            raise translate(error, queue) from error
        return len(numbers)

    def cancel(self, queue: str, receipt: str) -> bool:
        """By the sequence number, which holds only as long as the message is scheduled."""
        number = scheduling.number_of(receipt, self._place(queue))
        try:
            with deadlines.within(self._patience), self._clients.sender(queue) as sender:
                return scheduling.cancel(sender, number)
        except Exception as error:
            raise translate(error, queue) from error

    def dead_letters(self, queue: str) -> ServiceBusDeadLetters:
        """The messages of the queue's own dead-letter sub-queue."""
        return ServiceBusDeadLetters(
            queue,
            link=lambda: self._link(queue, dead=True),
            settle=self.settle,
            clock=self._clock,
            patience=self._patience,
        )

    def oldest_age(self, queue: str) -> timedelta | None:
        """By a peek, which takes what receiving takes; of one with sessions there is none without a session."""
        if is_ordered(queue):
            return None
        try:
            with deadlines.within(self._patience):
                stored = self._link(queue).ask(inspecting.oldest)
        except Exception as error:
            raise translate(error, queue) from error
        return max(timedelta(0), self._clock.now() - stored[0]) if stored else None

    def missing_permissions(self, queue: str, *, works: bool) -> Sequence[str]:
        """By opening a link to send by, and by a look at the dead letters, which takes what receiving takes."""
        with deadlines.within(self._patience):
            return list(
                inspecting.missing_permissions(
                    lambda: self._clients.sender(queue), self.dead_letters(queue) if works else None, queue
                )
            )

    def close(self) -> None:
        """Closes all connections. Messages of a receive under way are given back, as are those held for a retry.

        Other locked messages stay locked until their locks end; a session's lock ends now.
        """
        self._closed.set()
        self._settling.close()
        for sessions in list(self._sessions.values()):
            sessions.close()
        with deadlines.within(self._patience):
            for link in list(self._links.values()):
                link.close()
            self._clients.close()

    def _deliveries(self, queue: str, taken: Sequence[tuple[Holder, Taken]]) -> Iterator[Delivery]:
        """The received messages as deliveries, without those whose lock ended here while this process stood still."""
        now, wall = self._clock.elapsed(), self._clock.now()
        for holder, (message, ends) in taken:
            if ends is not None and ends > now:
                lease = Lease(queue=queue, receipt=Receipt(holder, message), expires_at=wall + (ends - now), ends=ends)
                yield receiving.delivery(message, lease)

    def _place(self, queue: str) -> str:
        # The URL may have left the namespace to a connection string.
        return scheduling.place_of(self._clients.client().fully_qualified_namespace, self._prefix + queue)

    def _link(self, queue: str, *, dead: bool = False) -> Link:
        with self._lock:
            link = self._links.get((queue, dead))
            if link is None:
                link = self._links[queue, dead] = Link(
                    lambda: self._clients.receiver(queue, dead=dead),
                    clock=self._clock,
                    span=self._span(queue),
                    patience=self._patience,
                )
            return link

    def _session_queue(self, queue: str) -> Sessions:
        def next_session(wait: timedelta) -> ServiceBusReceiver:
            return self._clients.receiver(queue, session=NEXT_AVAILABLE_SESSION, wait=wait.total_seconds())

        with self._lock:
            sessions = self._sessions.get(queue)
            if sessions is None:
                sessions = self._sessions[queue] = Sessions(
                    next_session, clock=self._clock, span=self._span(queue), patience=self._patience
                )
            return sessions

    def _span(self, queue: str) -> LockSpan:
        """How long the queue's locks last. With the lock held."""
        return self._spans.setdefault(queue, LockSpan(self._clock, self._lock_duration))

    def _after_fork(self) -> None:
        self._clients.after_fork()
        self._start()


def _is_held(lease: Lease) -> bool:
    return isinstance(lease.receipt, Receipt) and lease.receipt.progress is Progress.HELD


_ACK: Const = Ack()
_drivers: Const[weakref.WeakSet[ServiceBusDriver]] = weakref.WeakSet()


def _after_fork() -> None:
    for driver in list(_drivers):
        driver._after_fork()


os.register_at_fork(after_in_child=_after_fork)
