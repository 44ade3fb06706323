"""One queue: the states of its messages, and every way from one state to the next.

       ┌──────────── due ──────────┐                       ┌─ complete ─▶ gone
send ──┴▶ scheduled      ┌─────────▼──┐  deliver   ┌───────┴┐
     ─────────────────▶  │   ready    ├───────────▶│ locked ├─ dead-letter, too many deliveries ─▶ sub-queue
                         └─────┬──▲───┘            └─┬──┬───┘
   expired ◀───────────────────┘  └── abandon, lock ─┘  └─ defer ─▶ deferred ── by number ─▶ locked
   (dropped or sub-queue)             lost, release
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count, islice
from uuid import UUID

from cloudq.emulators.service_bus.broker import lifetimes
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import (
    BrokerError,
    Condition,
    Message,
    MessageState,
    Received,
    ReceiveMode,
)
from cloudq.emulators.service_bus.broker.exits import Exits
from cloudq.emulators.service_bus.broker.receivers import Dealer, QueueReceiver
from cloudq.emulators.service_bus.broker.sessions import Session, Sessions
from cloudq.emulators.service_bus.broker.settings import SubscriptionSettings
from cloudq.emulators.service_bus.broker.store import Line, Messages, Quota, Stored
from cloudq.emulators.service_bus.broker.world import World


class Queue:
    """The messages of a queue, of a subscription, or of a sub-queue of theirs.

    Args:
        world: The broker's.
        address: Its own.
        settings: Those of the entity, for a sub-queue its parent's.
        quota: What it shares with its sub-queues, and a subscription with its topic.
        exits: Where messages go from here. A sub-queue has none: messages come only from its parent, and have no time
            to live, no sessions and no largest count of deliveries.
    """

    def __init__(
        self,
        world: World,
        address: Address,
        settings: SubscriptionSettings,
        quota: Quota,
        exits: Exits | None,
    ) -> None:
        self.world = world
        self.address = address
        self.settings = settings
        self.quota = quota
        self.exits = exits
        self.messages = Messages()
        self.line = Line()
        self.dealer = Dealer(self)
        self.receivers: set[QueueReceiver] = set()
        self.sessions = Sessions(self) if settings.requires_session and exits is not None else None
        self.scheduled = 0
        self._locked: dict[UUID, Stored] = {}
        self._numbers = count(1)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────

    def check(self, message: Message) -> None:
        """Raises `BrokerError` if the message can't be put here."""
        if self.sessions is not None and message.session_id is None:
            raise BrokerError(
                Condition.NOT_ALLOWED,
                f"{self.address} requires sessions: a message needs a session id to be sent to it.",
            )

    def put(self, stored: Stored) -> int:
        """Takes a message in, as of now; one with a time in the future is scheduled. Returns its number."""
        now = self.world.now()
        self._number(stored)
        stored.enqueued_at = now
        self.quota.used += stored.size
        due = stored.message.scheduled_enqueue_time
        if due is not None and due > now and self.exits is not None and not stored.hops:
            stored.state = MessageState.SCHEDULED
            self.scheduled += 1
            self._keep(stored)
            stored.timer = self.world.timers.at(due, lambda: self._due(stored))
        else:
            self._keep(stored)
            self._activate(stored, now)
        return stored.sequence

    def cancel_scheduled(self, numbers: Sequence[int]) -> None:
        """Removes scheduled messages, all or none."""
        found = [self.messages.get(number) for number in dict.fromkeys(numbers)]
        if any(stored is None or stored.state is not MessageState.SCHEDULED for stored in found):
            raise _not_found("One of the messages isn't scheduled: it was cancelled, has become due or never was.")
        for stored in found:
            if stored is not None:
                self.scheduled -= 1
                self._remove(stored)

    def _number(self, stored: Stored) -> None:
        stored.sequence = next(self._numbers)
        stored.enqueued_sequence = stored.enqueued_sequence or stored.sequence

    def _due(self, stored: Stored) -> None:
        # As if it had been sent now: at the end of the queue, with a number of its own.
        self._drop(stored)
        self.scheduled -= 1
        stored.timer = None
        stored.state = MessageState.ACTIVE
        stored.enqueued_sequence = 0
        self._number(stored)
        self._keep(stored)
        self._activate(stored, self.world.now())

    def _keep(self, stored: Stored) -> None:
        self.messages.add(stored)
        if self.sessions is not None:
            self.sessions.added(stored)

    def _drop(self, stored: Stored) -> None:
        self.messages.remove(stored)
        if self.sessions is not None:
            self.sessions.removed(stored)

    def _activate(self, stored: Stored, now: datetime) -> None:
        stored.enqueued_at = now
        if self.exits is not None:
            default = self.settings.default_time_to_live
            stored.time_to_live = lifetimes.in_force(stored.message.time_to_live, stored.time_to_live, default)
            target = self.settings.forward_path
            if target is not None:
                self._remove(stored)
                moved = stored.copy(now)
                moved.time_to_live = stored.time_to_live
                self.exits.transfer(moved, target)
                return
            stored.expires_at = lifetimes.end(now, stored.time_to_live)
            if stored.expires_at is not None:
                stored.timer = self.world.timers.at(stored.expires_at, lambda: self._end(stored))
        self._make_ready(stored)

    def _make_ready(self, stored: Stored) -> None:
        if stored.expires_at is not None and stored.expires_at <= self.world.now():
            self._expire(stored)
        elif self.sessions is None:
            self.line.push(stored)
            self.world.available(self.dealer)
        else:
            self.sessions.push(stored)

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────

    def deliver(self, stored: Stored, receiver: QueueReceiver, session: Session | None = None) -> None:
        """Hands a message, just taken out of its line, to a receiver."""
        if receiver.mode is ReceiveMode.RECEIVE_AND_DELETE:
            received = stored.received()
            self._remove(stored)
        else:
            self._lock(stored, session)
            received = stored.received()
        receiver.sink.deliver(received)

    def receive_deferred(self, numbers: Sequence[int], mode: ReceiveMode, session: Session | None) -> list[Received]:
        """Takes deferred messages, all or none; one whose time has come expires now."""
        now = self.world.now()
        found: list[Stored] = []
        for number in dict.fromkeys(numbers):
            stored = self.messages.get(number)
            if (
                stored is not None
                and stored.state is MessageState.DEFERRED
                and stored.token is None
                and (session is None or stored.message.session_id == session.id)
            ):
                if stored.expires_at is None or stored.expires_at > now:
                    found.append(stored)
                    continue
                # "Message deferral" (Microsoft, 2023-06): they expire when somebody tries to get them.
                self._expire(stored)
            raise _not_found(f"{self.address} has no deferred message {number} that could be received.")
        received = []
        for stored in found:
            if mode is ReceiveMode.PEEK_LOCK:
                self._lock(stored, session)
            received.append(stored.received())
            if mode is ReceiveMode.RECEIVE_AND_DELETE:
                self._remove(stored)
        return received

    def peek(self, number: int, limit: int, session_id: str | None) -> list[Received]:
        """Up to `limit` messages from that number on."""
        if session_id is None or self.sessions is None:
            messages = self.messages
        else:
            session = self.sessions.find(session_id)
            if session is None:
                return []
            messages = session.messages
        found: list[Received] = []
        for stored in messages.since(number):
            if len(found) >= limit:
                break
            found.append(stored.received())
        return found

    def delete(self, limit: int, before: datetime, session: Session | None) -> int:
        """Deletes up to `limit` ready messages that were enqueued before then, the oldest first. Returns how many."""
        # Numbers are given at the moment of enqueueing, so that their order is that of the times.
        messages = self.messages if session is None else session.messages
        found = list(islice((one for one in messages if one.ready and one.enqueued_at < before), limit))
        for stored in found:
            self._remove(stored)
        return len(found)

    def _lock(self, stored: Stored, session: Session | None) -> None:
        token = stored.token = self.world.new_token()
        self._locked[token] = stored
        if session is not None:
            session.locked[stored.sequence] = stored
            stored.locked_until = session.locked_until
        else:
            self._hold(stored)

    def _hold(self, stored: Stored) -> datetime:
        self.world.timers.cancel(stored.lock_timer)
        until = stored.locked_until = self.world.now() + self.settings.lock_duration
        stored.lock_timer = self.world.timers.at(until, lambda: self._end_lock(stored))
        return until

    def _end_lock(self, stored: Stored) -> None:
        self._unlock(stored)
        self.failed(stored)

    def _unlock(self, stored: Stored) -> None:
        if stored.token is not None:
            del self._locked[stored.token]
        self.world.timers.cancel(stored.lock_timer)
        stored.token = stored.locked_until = stored.lock_timer = None
        if self.sessions is not None and stored.message.session_id is not None:
            self.sessions.unlocked(stored)

    # ── settling ─────────────────────────────────────────────────────────────────────────────────────────

    def locked(self, token: UUID) -> Stored:
        """The message with that lock, or `BrokerError`."""
        stored = self._locked.get(token)
        if stored is None or (stored.locked_until is not None and stored.locked_until <= self.world.now()):
            condition = Condition.MESSAGE_LOCK_LOST if self.sessions is None else Condition.SESSION_LOCK_LOST
            raise BrokerError(
                condition, f"{self.address}: the lock has run out, or the message was settled before.", status=410
            )
        return stored

    def complete(self, stored: Stored) -> None:
        """Deletes a locked message."""
        self._unlock(stored)
        self._remove(stored)

    def abandon(self, stored: Stored, properties: Mapping[str, object] | None) -> None:
        """Gives a locked message back; that counts as a failed delivery."""
        stored.set(properties)
        self._unlock(stored)
        self.failed(stored)

    def release(self, stored: Stored) -> None:
        """Gives a locked message back as if it hadn't been delivered."""
        self._unlock(stored)
        self.back_in_line(stored)

    def defer(self, stored: Stored, properties: Mapping[str, object] | None) -> None:
        """Sets a locked message aside."""
        stored.set(properties)
        self._unlock(stored)
        stored.deliveries += 1
        stored.state = MessageState.DEFERRED

    def dead_letter(
        self, stored: Stored, reason: str | None, description: str | None, properties: Mapping[str, object] | None
    ) -> None:
        """Moves a locked message to the dead-letter sub-queue."""
        stored.set(properties)
        self._unlock(stored)
        if self.exits is None:
            stored.set_reason(reason, description)
            self.failed(stored)
        else:
            self.bury(stored, reason, description)

    def renew(self, tokens: Sequence[UUID]) -> list[datetime]:
        """Renews locks, all or none."""
        found = [self.locked(token) for token in tokens]
        if self.sessions is not None:
            raise BrokerError(
                Condition.NOT_ALLOWED, f"{self.address} requires sessions: renew the session's lock instead."
            )
        return [self._hold(stored) for stored in found]

    def failed(self, stored: Stored) -> None:
        """Counts a failed delivery of a message whose lock is gone; at the largest count it is dead-lettered."""
        stored.deliveries += 1
        if self.exits is not None and stored.deliveries >= self.settings.max_delivery_count:
            self.bury(
                stored,
                "MaxDeliveryCountExceeded",
                f"Message could not be consumed after {self.settings.max_delivery_count} delivery attempts.",
            )
        else:
            self.back_in_line(stored)

    def back_in_line(self, stored: Stored) -> None:
        """Makes a message available whose lock is gone; a deferred one stays deferred."""
        if stored.state is MessageState.ACTIVE:
            self._make_ready(stored)

    def session_lost(self, stored: Stored, *, counts: bool) -> None:
        """The session of a locked message isn't held any more."""
        self._unlock(stored)
        if counts:
            self.failed(stored)
        else:
            self.back_in_line(stored)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────────────

    def bury(self, stored: Stored, reason: str | None, description: str | None) -> None:
        """Moves a message that isn't locked to the dead-letter sub-queue, or where that forwards to."""
        self._remove(stored)
        self.bury_copy(stored.copy(self.world.now()), reason, description)

    def bury_copy(self, dead: Stored, reason: str | None, description: str | None) -> None:
        """Dead-letters a message that isn't in this queue."""
        if self.exits is not None:
            self.exits.bury(self.settings, dead, reason, description)

    def clear(self, error: BrokerError) -> None:
        """The entity is gone: its receivers end, its timers are taken back."""
        self.end_receivers(error)
        for stored in list(self.messages):
            self._remove(stored)
            self.world.timers.cancel(stored.lock_timer)
        self._locked.clear()
        if self.sessions is not None:
            self.sessions.clear()
        if self.exits is not None:
            self.exits.clear(error)

    def change(self, settings: SubscriptionSettings) -> None:
        """Takes new settings: for messages and locks to come. Receivers end if they may not receive any more."""
        self.settings = settings
        if not settings.status.receives or (settings.forward_path and self.exits is not None):
            self.end_receivers(
                BrokerError(
                    Condition.ENTITY_DISABLED, f"{self.address} is {settings.status}, or forwards its messages."
                )
            )
        if self.exits is not None:
            self.exits.change(settings)

    def end_receivers(self, error: BrokerError) -> None:
        """Closes all receivers, and refuses those that wait for a session."""
        if self.sessions is not None:
            self.sessions.refuse_all(error)
        for receiver in list(self.receivers):
            receiver.end(error)

    def _end(self, stored: Stored) -> None:
        # One that is locked or deferred lives until it is given back, or asked for.
        stored.timer = None
        if stored.ready:
            self._expire(stored)

    def _expire(self, stored: Stored) -> None:
        if self.settings.dead_letter_on_expiration:
            self.bury(stored, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(stored)

    def _remove(self, stored: Stored) -> None:
        if stored.ready:
            (self.line if self.sessions is None else self.sessions.line_of(stored)).discard(stored)
        self.world.timers.cancel(stored.timer)
        stored.timer = None
        self._drop(stored)
        self.quota.used -= stored.size


def _not_found(text: str) -> BrokerError:
    return BrokerError(Condition.MESSAGE_NOT_FOUND, text, status=404)
