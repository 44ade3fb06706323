"""`Slot`: a thread that works on one session after the other. What it may do when is the table `NEXT`.

```
            ┌────────────────────────── a session is wanted ──────────────────────────┐
            ▼                                                                         │
 SEEKING ─ accepted ─▶ READING ─ a message ─▶ OFFERING ─ taken ─▶ IN_WORK             │
   │                    │  ▲                     │                 │   │              │
   │                    │  └──────────────── settled ──────────────┘   │              │
   │ not wanted,        │ empty, lost            │ nobody took it      │ lost,        │
   │ failed             ▼                        ▼                     ▼ given back   │
   │                   LEAVING ◀─────────────────────────────────────────────────── LEAVING
   ▼                     │ not wanted
  ENDED ◀────────────────┘
```

A message that goes back unstarted takes its session with it: another process, which may know its task, needs that.

A session's lock ends with its link: by leaving the session, or by a cut. The task that runs for the session's message
must learn of it at once, since the service hands the message to somebody else at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final, Protocol

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError, SessionCannotBeLockedError

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.service_bus import connections, deadlines
from cloudq.drivers.service_bus.dispositions import RELEASE
from cloudq.drivers.service_bus.faults import session_lost
from cloudq.drivers.service_bus.links import Link, Step, Taken
from cloudq.drivers.service_bus.locks import LockSpan

logger = SafeLogger("cloudq")

# How long a session that was emptied is kept, as its next message may be on its way.
LINGER: Final = timedelta(milliseconds=100)
# How often a slot checks that its session is still locked to it while the message is worked on.
LOOK: Final = timedelta(milliseconds=200)


class State(Enum):
    """What a slot is at."""

    SEEKING = auto()
    """Waits for the next session that has messages."""
    READING = auto()
    """Reads the next message of its session."""
    OFFERING = auto()
    """Waits for somebody to take the message."""
    IN_WORK = auto()
    """Waits for the message to be settled."""
    LEAVING = auto()
    """Lets go of the session, and sees whether another is wanted."""
    ENDED = auto()


class Event(Enum):
    """What came of it."""

    ACCEPTED = auto()
    FAILED = auto()
    MESSAGE = auto()
    EMPTY = auto()
    TAKEN = auto()
    NOT_TAKEN = auto()
    SETTLED = auto()
    GIVEN_BACK = auto()
    LOST = auto()
    WANTED = auto()
    NOT_WANTED = auto()


NEXT: Final[Mapping[tuple[State, Event], State]] = {
    (State.SEEKING, Event.ACCEPTED): State.READING,
    (State.SEEKING, Event.FAILED): State.ENDED,
    (State.SEEKING, Event.NOT_WANTED): State.ENDED,
    (State.READING, Event.MESSAGE): State.OFFERING,
    (State.READING, Event.EMPTY): State.LEAVING,
    (State.READING, Event.LOST): State.LEAVING,
    (State.OFFERING, Event.TAKEN): State.IN_WORK,
    (State.OFFERING, Event.NOT_TAKEN): State.LEAVING,
    (State.IN_WORK, Event.SETTLED): State.READING,
    (State.IN_WORK, Event.GIVEN_BACK): State.LEAVING,
    (State.IN_WORK, Event.LOST): State.LEAVING,
    (State.LEAVING, Event.WANTED): State.SEEKING,
    (State.LEAVING, Event.NOT_WANTED): State.ENDED,
}


class Office(Protocol):
    """What slots ask of those they work for: `Sessions`."""

    @property
    def closed(self) -> bool:
        """Whether nothing is to be worked on any more."""
        ...

    def is_wanted(self) -> bool:
        """Whether somebody waits for messages, or did a moment ago."""
        ...

    def may_seek(self) -> bool:
        """Whether a slot may look for a session; if so, it is counted as seeking."""
        ...

    def receiver(self, slot: Slot) -> tuple[ServiceBusReceiver, timedelta]:
        """A receiver of the next available session, not open yet, and for how long the service waits for one."""
        ...

    def note_asked(self, slot: Slot) -> None:
        """Notes that the slot has asked the service for a session."""
        ...

    def note_none_there(self) -> None:
        """Notes that, by the service's word, no session has messages."""
        ...

    def end_seeking(self, slot: Slot) -> None:
        """Ends the slot's search: it has a session, or seeks no more."""
        ...

    def offer(self, slot: Slot, taken: Taken) -> bool:
        """Offers a message; whether somebody took it in time."""
        ...

    def step_back(self) -> None:
        """Leaves the next session to another process: one is about to be let go of that isn't for this one."""
        ...

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Has the error raised by those that wait for messages: the service couldn't be asked for a session."""
        ...

    def discard_slot(self, slot: Slot) -> None:
        """Forgets the slot, whose thread ends."""
        ...


class Slot(threading.Thread):
    """Works on one session after the other. Settles, renews and watches the messages that came by it.

    Args:
        office: What it reports to, and asks what to do.
        clock: Where the time of locks comes from.
        span: How long the queue's locks last.
        patience: How long one answer may take.
    """

    def __init__(self, office: Office, *, clock: Clock, span: LockSpan, patience: timedelta) -> None:
        super().__init__(name="cloudq-service-bus-session", daemon=True)
        self._office = office
        self._clock = clock
        self._span = span
        self._patience = patience
        self._link: Link | None = None
        self._ends: timedelta | None = None  # when the session's lock does, by `Clock.elapsed`
        self._message: Taken | None = None
        self._changed = threading.Event()  # set once the message was settled, or the session is known to be lost
        self._given_back = False  # whether the message was given back unstarted
        self._watching = threading.Lock()
        # Guarded by the lock.
        self._receiver: ServiceBusReceiver | None = None
        self._watchers: list[Callable[[str], None]] = []

    def run(self) -> None:
        """Until no session is wanted any more."""
        act = {
            State.SEEKING: self._seek,
            State.READING: self._read,
            State.OFFERING: self._offer,
            State.IN_WORK: self._wait_for_work,
            State.LEAVING: self._leave,
        }
        state = State.SEEKING
        try:
            while state is not State.ENDED:
                state = NEXT[state, act[state]()]
        finally:
            self._let_go("its slot ended")
            self._office.discard_slot(self)

    # ── for those who have the message ───────────────────────────────────────────────────────────────────

    @property
    def ends(self) -> timedelta | None:
        """When the lock of its session ends, by `Clock.elapsed`; `None` while it has no session."""
        return self._ends

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        """Settles the session's message; its next one may come then."""
        link = self._link
        if link is None or any(message._receiver is not self._receiver for message, _ in steps):
            return [session_lost()] * len(steps)
        errors = link.settle(steps)
        if not any(errors):
            with self._watching:
                self._watchers.clear()  # what ends the session from now on ends no lock of theirs
            self._given_back = any(step is RELEASE for _, step in steps)
        if link.closed or not any(map(_may_be_tried_again, errors)):
            self._changed.set()
        return errors

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[timedelta | BaseException]:
        """Renews the session's lock, which is that of its message."""
        link = self._link
        # The service renews by the session's name, which may be another receiver's by then.
        if link is None or self._over() or any(message._receiver is not self._receiver for message in messages):
            return [session_lost()] * len(messages)
        answers = link.renew_session(len(messages))
        if isinstance(answers[0], timedelta):
            self._ends = answers[0]
        if link.closed:
            self._changed.set()
        return answers

    def watch(self, message: ServiceBusReceivedMessage, lost: Callable[[str], None] | None) -> None:
        """Has `lost` called when the session is lost or let go of; at once if it was already."""
        with self._watching:
            held = self._receiver is not None and message._receiver is self._receiver
            if held and lost is None:
                self._watchers.clear()
            elif held and lost is not None:
                self._watchers.append(lost)
        if not held and lost is not None:
            lost("its session's link was cut or closed")

    # ── what it does in each state ───────────────────────────────────────────────────────────────────────

    def _seek(self) -> Event:
        try:
            while True:
                receiver: ServiceBusReceiver | None = None
                try:
                    receiver, wait = self._office.receiver(self)
                    since = connections.accept_session(
                        connections.without_credit(receiver),
                        cancelled=lambda: not self._office.is_wanted(),
                        asked=lambda: self._office.note_asked(self),
                        wait=wait,
                        patience=self._patience,
                        clock=self._clock,
                    )
                except (OperationTimeoutError, SessionCannotBeLockedError):
                    _close(receiver)
                    self._office.note_none_there()
                    if not self._office.is_wanted():
                        return Event.NOT_WANTED
                except Exception as error:  # noqa: BLE001 - raised in those that wait for a message
                    _close(receiver)
                    self._office.fail(self, error)
                    return Event.FAILED
                else:
                    if since is None:
                        _close(receiver)
                        return Event.NOT_WANTED
                    self._take_up(receiver, since)
                    return Event.ACCEPTED
        finally:
            self._office.end_seeking(self)

    def _take_up(self, receiver: ServiceBusReceiver, since: timedelta) -> None:
        self._ends = self._span.ends(since, _locked_until(receiver))
        self._link = Link(_no_other, clock=self._clock, span=self._span, patience=self._patience, session=receiver)
        with self._watching:
            self._receiver = receiver

    def _read(self) -> Event:
        link = self._link
        if link is None or self._office.closed or self._over():
            return Event.LOST
        try:
            messages = link.receive(1, LINGER)
        except ServiceBusError:
            return Event.LOST
        if not messages:
            return Event.EMPTY
        self._message = messages[0]
        self._given_back = False
        self._changed.clear()
        return Event.MESSAGE

    def _offer(self) -> Event:
        taken, link = self._message, self._link
        if taken is None or link is None:
            return Event.NOT_TAKEN
        if self._office.offer(self, taken):
            return Event.TAKEN
        with deadlines.within(self._patience):
            link.settle([(taken.message, RELEASE)])
        return Event.NOT_TAKEN

    def _wait_for_work(self) -> Event:
        """Reads meanwhile what the link says: a cut is noticed only by reading."""
        link = self._link
        while link is not None and not self._changed.wait(LOOK.total_seconds()):
            if self._office.closed or self._over() or not link.look():
                return Event.LOST
        if link is None or link.closed:
            return Event.LOST
        if self._given_back:
            self._office.step_back()
        return Event.GIVEN_BACK if self._given_back else Event.SETTLED

    def _leave(self) -> Event:
        self._let_go("its session's link was cut or closed")
        return Event.WANTED if self._office.may_seek() else Event.NOT_WANTED

    def _let_go(self, why: str) -> None:
        link, self._link, self._message, self._ends = self._link, None, None, None
        with self._watching:
            self._receiver = None
            watchers, self._watchers = self._watchers, []
        for lost in watchers:
            try:
                lost(why)
            except Exception:  # the others still have to learn of it
                logger.exception("a lost lease could not be reported")
        if link is not None:
            with deadlines.within(self._patience):
                link.close()

    def _over(self) -> bool:
        ends = self._ends
        return ends is None or ends <= self._clock.elapsed()


def _may_be_tried_again(error: BaseException | None) -> bool:
    return error is not None and (not isinstance(error, ServiceBusError) or error._retryable)


def _locked_until(receiver: ServiceBusReceiver) -> datetime | None:
    moment = None if receiver.session is None else receiver.session.locked_until_utc
    return None if moment is None else moment.astimezone(UTC)


def _no_other() -> ServiceBusReceiver:
    raise session_lost()


def _close(receiver: ServiceBusReceiver | None) -> None:
    if receiver is not None:
        connections.close(receiver)
