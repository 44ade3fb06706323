"""`Sessions`: several sessions of one queue at once, one message of each in flight.

A session's messages come by a link of their own, and its lock is the session's. So each session that is worked on has a
slot: a thread that waits for the next session with messages, receives them one by one, each after the one before was
settled, and lets go of the session when it is empty.

```
 slot 1   accept "a" ─ a1 ─▶ receive() … settled ─ a2 ─▶ receive() … settled ─ empty: let go ─ accept …
 slot 2   accept "b" ─ b1 ─▶ receive() …
```

Slots wait for sessions only while somebody wants messages: what nobody waits for stays with the service.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError, SessionCannotBeLockedError

from cloudq.core.clock import Clock
from cloudq.drivers.service_bus import opening, sdk
from cloudq.drivers.service_bus.limits import held_until
from cloudq.drivers.service_bus.links import Link, Step, session_lost

MOST: Final = 128
# So many slots wait for a session at once: each does with a connection of its own.
SEEKERS: Final = 4
# How long the service waits for a session before it says that there is none, at least and at most.
SHORTEST_WAIT: Final = timedelta(milliseconds=300)
LONGEST_WAIT: Final = timedelta(seconds=30)
# Whoever may not wait waits so long for the service to say so, which takes a connection.
ANSWER: Final = timedelta(seconds=5)
# How long a session that was emptied is kept, as its next message may be on its way.
LINGER: Final = timedelta(milliseconds=100)
# How long slots go on after the last receive: the next one usually follows at once.
GRACE: Final = timedelta(milliseconds=250)
# How long a message waits in a slot for somebody to take it.
SHELF: Final = timedelta(seconds=2)
# How often a slot looks whether the lock on its session is over.
LOOK: Final = timedelta(milliseconds=200)
# How long the slots may take to end, all of them together.
LEAVING: Final = timedelta(seconds=1)


class Sessions:
    """The sessions of one queue that this process works on.

    Args:
        make: Makes a receiver of the next available session, not open yet, for which the service waits so long.
        clock: Where the time comes from.
    """

    def __init__(self, make: Callable[[timedelta], ServiceBusReceiver], clock: Clock) -> None:
        self._make = make
        self._accept_wait = SHORTEST_WAIT
        self._found_none = 0
        self._asking: dict[Slot, float] = {}
        self._clock = clock
        self._changed = threading.Condition()
        self._shelf: deque[tuple[Slot, ServiceBusReceivedMessage]] = deque()
        self._slots: set[Slot] = set()
        self._seeking = 0
        self._wanted = 0
        self._wanted_at = 0.0
        self._interrupted = 0
        self._error: BaseException | None = None
        self.closed = False

    def receive(self, limit: int, wait: timedelta) -> list[tuple[Slot, ServiceBusReceivedMessage]]:
        """Up to `limit` messages of as many sessions, as soon as there is one.

        What is there comes even if it may not wait: the service is asked, and then has said that there is none.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        began = time.monotonic()
        until = began + wait.total_seconds()
        with self._changed:
            interrupted, found_none = self._interrupted, self._found_none
            self._accept_wait = min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)
            self._wanted += limit
            self._error = None
            try:
                while True:
                    if self._shelf:
                        return [self._shelf.popleft() for _ in range(min(limit, len(self._shelf)))]
                    if self._error is not None:
                        raise self._error
                    known = until if self._found_none != found_none else max(until, self._known_by(began))
                    left = known - time.monotonic()
                    if left <= 0 or self.closed or interrupted != self._interrupted:
                        return []
                    self._staff()
                    if self._error is None:
                        self._changed.wait(left)
            finally:
                self._wanted -= limit
                self._wanted_at = time.monotonic()
                self._changed.notify_all()

    def interrupt(self) -> None:
        """Makes receives under way return."""
        with self._changed:
            self._interrupted += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the slots; what is in flight stays locked."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            slots = list(self._slots)
        until = time.monotonic() + LEAVING.total_seconds()
        for slot in slots:
            slot.join(max(0.0, until - time.monotonic()))

    def is_wanted(self) -> bool:
        """Whether somebody waits for messages, or did a moment ago."""
        if self.closed:
            return False
        return self._wanted > 0 or time.monotonic() - self._wanted_at < GRACE.total_seconds()

    # ── for slots ────────────────────────────────────────────────────────────────────────────────────────

    def put(self, slot: Slot, message: ServiceBusReceivedMessage) -> bool:
        """Offers a message; whether somebody took it in time."""
        entry = (slot, message)
        with self._changed:
            self._shelf.append(entry)
            self._changed.notify_all()
            self._changed.wait_for(lambda: entry not in self._shelf or self.closed, SHELF.total_seconds())
            if entry in self._shelf:
                self._shelf.remove(entry)
                return False
        return True

    def receiver(self) -> ServiceBusReceiver:
        """A receiver of the next available session, not open yet."""
        return self._make(self._accept_wait)

    def asks(self, slot: Slot) -> None:
        """The service was asked for a session."""
        with self._changed:
            self._asking[slot] = time.monotonic()
            self._changed.notify_all()

    def found_none(self) -> None:
        """The service said that no session has messages."""
        with self._changed:
            self._found_none += 1
            self._changed.notify_all()

    def found(self, slot: Slot) -> None:
        """A slot has a session: another may look for one."""
        with self._changed:
            self._seeking -= 1
            self._asking.pop(slot, None)
            if self.is_wanted():
                self._staff()

    def seeks(self) -> bool:
        """Whether a slot may look for a session; if so, it is counted."""
        with self._changed:
            if not self.is_wanted() or self._seeking >= SEEKERS:
                return False
            self._seeking += 1
            return True

    def failed(self, error: BaseException) -> None:
        """Reports an error to whoever waits."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def ended(self, slot: Slot) -> None:
        """A slot ends."""
        with self._changed:
            self._slots.discard(slot)
            self._changed.notify_all()

    def _known_by(self, began: float) -> float:
        """When it is known that no session has messages, if none comes by then.

        That a slot asked, and the service has been silent for a while, says it.
        """
        if not self._asking:
            return began + ANSWER.total_seconds()
        return min(self._asking.values()) + SHORTEST_WAIT.total_seconds()

    def _staff(self) -> None:
        """Starts slots for what is wanted."""
        wanted = min(self._wanted - len(self._shelf), SEEKERS - self._seeking, MOST - len(self._slots))
        for _ in range(wanted):
            slot = Slot(self, self._clock)
            try:
                slot.start()  # it looks for what is guarded here only once this is done
            except RuntimeError as error:  # there are no more threads to be had
                self._error = error
                return
            self._seeking += 1
            self._slots.add(slot)


class Slot(threading.Thread):
    """Works on one session after the other. Settles and renews what came by it."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        super().__init__(name="cloudq-service-bus-session", daemon=True)
        self._sessions = sessions
        self._clock = clock
        self._link: Link | None = None
        self._receiver: ServiceBusReceiver | None = None
        self._until: datetime | None = None
        self._settled = threading.Event()

    def run(self) -> None:
        """Until no session is wanted any more."""
        try:
            while self._accepted():
                try:
                    self._work_off()
                finally:
                    self._let_go()
                if not self._sessions.seeks():
                    return
        finally:
            self._sessions.ended(self)

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        """Settles the session's message; its next one may come then."""
        link = self._link
        if link is None or any(message._receiver is not self._receiver for message, _ in steps):
            return [session_lost()] * len(steps)
        errors = link.settle(steps)
        if link.closed or not any(map(_may_be_tried_again, errors)):
            self._settled.set()
        return errors

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[datetime | BaseException]:
        """Renews the session's lock, which is that of its message."""
        link = self._link
        until = self.locked_until()
        # The service renews by the session's name, which may be another receiver's by then.
        over = until is None or until <= self._clock.now()
        if link is None or over or any(message._receiver is not self._receiver for message in messages):
            return [session_lost()] * len(messages)
        answers = link.renew_session(len(messages))
        if isinstance(answers[0], datetime):
            self._until = held_until(answers[0].astimezone(UTC), self._clock.now())
        return answers

    def locked_until(self) -> datetime | None:
        """Until when the session is locked."""
        return None if self._receiver is None else self._until

    def _accepted(self) -> bool:
        """Waits for a session; whether there is one. The slot is counted as seeking until then."""
        try:
            while True:
                try:
                    receiver = opening.without_credit(self._sessions.receiver())
                except Exception as error:  # noqa: BLE001 - whoever waits has it raised
                    self._sessions.failed(error)
                    return False
                try:
                    accepted = opening.accept_session(
                        receiver, lambda: not self._sessions.is_wanted(), lambda: self._sessions.asks(self)
                    )
                except (OperationTimeoutError, SessionCannotBeLockedError):
                    opening.closed(receiver)
                    self._sessions.found_none()
                    if not self._sessions.is_wanted():
                        return False
                except Exception as error:  # noqa: BLE001 - whoever waits has it raised
                    opening.closed(receiver)
                    self._sessions.failed(error)
                    return False
                else:
                    if accepted:
                        self._until = self._granted(receiver)
                        self._receiver, self._link = receiver, Link(self._sessions.receiver, session=receiver)
                    else:
                        opening.closed(receiver)
                    return accepted
        finally:
            self._sessions.found(self)

    def _granted(self, receiver: ServiceBusReceiver) -> datetime | None:
        """Until when a session that was just accepted is locked."""
        moment = None if receiver.session is None else receiver.session.locked_until_utc
        return None if moment is None else held_until(moment.astimezone(UTC), self._clock.now())

    def _work_off(self) -> None:
        """Hands over the session's messages, one after the other."""
        link = self._link
        while link is not None and not self._sessions.closed:
            try:
                messages = link.receive(1, LINGER)
            except ServiceBusError:
                return  # the session is lost, and with it its lock
            if not messages:
                return
            self._settled.clear()
            if not self._sessions.put(self, messages[0]):
                link.settle([(messages[0], sdk.RELEASE)])
                return
            while not self._settled.wait(LOOK.total_seconds()):
                until = self.locked_until()
                if link.closed or self._sessions.closed or until is None or until <= self._clock.now():
                    return

    def _let_go(self) -> None:
        link, self._link, self._receiver = self._link, None, None
        if link is not None:
            link.close()


def _may_be_tried_again(error: BaseException | None) -> bool:
    return error is not None and (not isinstance(error, ServiceBusError) or error._retryable)
