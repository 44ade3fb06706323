"""The sessions of a queue: who holds which, what is locked in it, and who waits for the next one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, ReceiveMode
from cloudq.emulators.service_bus.broker.ends import SessionSink
from cloudq.emulators.service_bus.broker.receivers import QueueReceiver
from cloudq.emulators.service_bus.broker.store import Line, Messages, Stored
from cloudq.emulators.service_bus.broker.timers import Timer

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.broker.queue import Queue


# Who receives and deletes has nothing to lose with the lock: its link ends this much later, so that one that waits just
# as long as the lock holds sees its wait end first, as it does at the service.
SLACK: Final = timedelta(seconds=1)


class Session:
    """One session. It is forgotten once it has no messages, no state and no holder.

    Attributes:
        messages: All of its messages.
        line: Those that are ready.
        locked: Those that are locked, by sequence number: they share the session's lock.
    """

    __slots__ = (
        "_queue",
        "holder",
        "id",
        "line",
        "locked",
        "locked_until",
        "messages",
        "state",
        "state_set_at",
        "timer",
    )

    def __init__(self, queue: Queue, session_id: str) -> None:
        self._queue = queue
        self.id = session_id
        self.messages = Messages()
        self.line = Line()
        self.locked: dict[int, Stored] = {}
        self.state: bytes | None = None
        self.state_set_at: datetime | None = None
        self.holder: HoldingReceiver | None = None
        self.locked_until: datetime | None = None
        self.timer: Timer | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember about it."""
        return not self.messages and self.state is None and self.holder is None

    def distribute(self) -> None:
        """Hands messages to the holder, in order."""
        while self.line and self.holder is not None and self.holder.credit > 0:
            self.holder.credit -= 1
            self._queue.deliver(self.line.pop(), self.holder, self)


class HoldingReceiver(QueueReceiver):
    """A `SessionReceiver`: it holds the lock of one session."""

    __slots__ = ("_locked_until", "_sessions", "session")

    def __init__(
        self, sessions: Sessions, queue: Queue, mode: ReceiveMode, sink: SessionSink, session: Session
    ) -> None:
        super().__init__(queue, mode, sink)
        self._sessions = sessions
        self._locked_until = queue.world.now()
        self.session = session

    @property
    def session_id(self) -> str:
        """See `ends.SessionReceiver.session_id`."""
        return self.session.id

    @property
    def locked_until(self) -> datetime:
        """See `ends.SessionReceiver.locked_until`."""
        if self.session.holder is self and self.session.locked_until is not None:
            self._locked_until = self.session.locked_until
        return self._locked_until

    def _wants_more(self) -> None:
        self._queue.world.available(self.session)

    def _close(self) -> None:
        super()._close()
        if self.session.holder is self:
            self._sessions.free(self.session, counts=False)


class Wait:
    """A receiver that waits for the next session: `ends.Waiting`."""

    __slots__ = ("_sessions", "mode", "sink", "timer")

    def __init__(self, sessions: Sessions, mode: ReceiveMode, sink: SessionSink) -> None:
        self._sessions = sessions
        self.mode = mode
        self.sink = sink
        self.timer: Timer | None = None

    def cancel(self) -> None:
        """See `ends.Waiting.cancel`."""
        self._sessions.forget(self)


class Sessions:
    """All sessions of a queue."""

    __slots__ = ("_available", "_by_id", "_queue", "_waits")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._by_id: dict[str, Session] = {}
        # In the order in which they became so: with messages in line, and nobody holds them.
        self._available: dict[str, None] = {}
        self._waits: dict[Wait, None] = {}

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────

    def find(self, session_id: str) -> Session | None:
        """The session, if there is one of this id."""
        return self._by_id.get(session_id)

    def line_of(self, stored: Stored) -> Line:
        """The line of a message's session."""
        return self._of(stored).line

    def added(self, stored: Stored) -> None:
        """A message has come into the queue, or has a new number."""
        self._of(stored).messages.add(stored)

    def push(self, stored: Stored) -> None:
        """A message is ready."""
        session = self._of(stored)
        session.line.push(stored)
        if session.holder is None:
            self._available.setdefault(session.id)
            self._queue.world.available(self)
        else:
            self._queue.world.available(session)

    def unlocked(self, stored: Stored) -> None:
        """A message isn't locked any more."""
        self._of(stored).locked.pop(stored.sequence, None)

    def removed(self, stored: Stored) -> None:
        """A message is gone from the queue."""
        session = self._of(stored)
        session.messages.remove(stored)
        if not session.line:
            self._available.pop(session.id, None)
        self._tidy(session)

    def _of(self, stored: Stored) -> Session:
        return self._session(stored.message.session_id or "")

    def _session(self, session_id: str) -> Session:
        session = self._by_id.get(session_id)
        if session is None:
            session = self._by_id[session_id] = Session(self._queue, session_id)
        return session

    def _tidy(self, session: Session) -> None:
        if session.is_idle:
            self._by_id.pop(session.id, None)

    # ── holding ──────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, session_id: str, mode: ReceiveMode, sink: SessionSink) -> None:
        """Locks a session, or refuses at once."""
        session = self._session(session_id)
        if session.holder is not None:
            sink.refused(
                BrokerError(
                    Condition.SESSION_CANNOT_BE_LOCKED,
                    f"The requested session '{session_id}' cannot be accepted. It may be locked by another receiver.",
                    status=410,
                )
            )
        else:
            self._grant(session, mode, sink)

    def wait(self, wait: Wait, until: datetime) -> None:
        """Locks the next available session for a receiver, or has it wait until then."""
        self._waits[wait] = None
        wait.timer = self._queue.world.timers.at(until, lambda: self._too_late(wait))
        self._queue.world.available(self)

    def forget(self, wait: Wait) -> bool:
        """Ends a wait. Returns whether it still was one."""
        self._queue.world.timers.cancel(wait.timer)
        return self._waits.pop(wait, wait) is None

    def distribute(self) -> None:
        """Gives available sessions to those who wait, first come, first served."""
        while self._available and self._waits:
            session = self._by_id[next(iter(self._available))]
            wait = next(iter(self._waits))
            self.forget(wait)
            self._grant(session, wait.mode, wait.sink)

    def refuse_all(self, error: BrokerError) -> None:
        """Ends all waits."""
        for wait in list(self._waits):
            if self.forget(wait):
                wait.sink.refused(error)

    def held(self, session_id: str) -> Session:
        """The session, which somebody has to hold, or `BrokerError`."""
        session = self._by_id.get(session_id)
        if (
            session is None
            or session.holder is None
            or session.locked_until is None
            or session.locked_until <= self._queue.world.now()
        ):
            raise _lock_lost(session_id)
        return session

    def renew(self, session: Session) -> datetime:
        """Has a session's lock, and so that of all messages locked in it, run anew."""
        world = self._queue.world
        world.timers.cancel(session.timer)
        until = session.locked_until = world.now() + self._queue.settings.lock_duration
        session.timer = world.timers.at(until, lambda: self._end_lock(session))
        for stored in session.locked.values():
            stored.locked_until = until
        return until

    def free(self, session: Session, *, counts: bool) -> None:
        """Nobody holds the session any more. What is locked in it is given back.

        Args:
            session: The session.
            counts: Whether that counts as failed deliveries: if the lock ran out, it does; if the receiver was closed,
                it doesn't (Microsoft, "Message sessions", impact of delivery count).
        """
        self._queue.world.timers.cancel(session.timer)
        session.holder = session.locked_until = session.timer = None
        if session.line:
            self._available.setdefault(session.id)
        for stored in list(session.locked.values()):
            self._queue.session_lost(stored, counts=counts)
        self._queue.world.available(self)
        self._tidy(session)

    def ids(self, updated_after: datetime | None) -> list[str]:
        """Ids of sessions, sorted: see `api.Messaging.session_ids`."""
        return sorted(
            session.id
            for session in self._by_id.values()
            if (
                (session.messages or session.state is not None)
                if updated_after is None
                else session.state_set_at is not None and session.state_set_at > updated_after
            )
        )

    def set_state(self, session: Session, state: bytes | None) -> None:
        """Stores something with the session; it counts towards the entity's largest size. Raises `BrokerError`."""
        quota = self._queue.quota
        growth = len(state or b"") - len(session.state or b"")
        if growth > 0:
            quota.check(growth, str(self._queue.address))
        quota.used += growth
        session.state = state
        session.state_set_at = None if state is None else self._queue.world.now()

    def clear(self) -> None:
        """The queue is gone, and with it the sessions' states."""
        for session in self._by_id.values():
            self._queue.quota.used -= len(session.state or b"")
        self._by_id.clear()
        self._available.clear()

    def _grant(self, session: Session, mode: ReceiveMode, sink: SessionSink) -> None:
        receiver = HoldingReceiver(self, self._queue, mode, sink, session)
        session.holder = receiver
        self._available.pop(session.id, None)
        self._queue.receivers.add(receiver)
        self.renew(session)
        sink.accepted(receiver)

    def _too_late(self, wait: Wait) -> None:
        if self.forget(wait):
            wait.sink.refused(
                BrokerError(Condition.TIMEOUT, "No session became available within the time that was given.")
            )

    def _end_lock(self, session: Session) -> None:
        holder = session.holder
        self.free(session, counts=True)
        if holder is None:
            return
        error = _lock_lost(session.id)
        if holder.mode is ReceiveMode.PEEK_LOCK:
            holder.end(error)
        else:
            world = self._queue.world
            world.timers.at(world.now() + SLACK, lambda: holder.end(error))


def _lock_lost(session_id: str) -> BrokerError:
    return BrokerError(
        Condition.SESSION_LOCK_LOST,
        f"The lock of the session '{session_id}' has run out, or nobody took it.",
        status=410,
    )
