"""A queue against a model of it, by random steps: nothing lost, nothing settled twice, order, delivery counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudq.emulators.service_bus.broker.api import BrokerError, MessageState, Received, ReceiveMode
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from tests.unit.emulators.service_bus.broker.bench import DEAD, QUEUE, SECOND, Bench, Client

LOCK = 10 * SECOND
MOST_DELIVERIES = 3
SESSIONS = ("a", "b")
PICK = st.integers(min_value=0, max_value=10_000)


class Known(msgspec.Struct, kw_only=True):
    """What the model knows about a message."""

    body: str
    session: str | None
    number: int
    where: str = "ready"
    deliveries: int = 0
    due: datetime | None = None
    expires: datetime | None = None
    lives: timedelta | None = None
    token: UUID | None = None
    locked_until: datetime | None = None


class QueueMachine(RuleBasedStateMachine):
    """A queue without sessions: messages are taken one by one and settled in all ways, early, late or never."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(
            QueueSettings(
                lock_duration=LOCK,
                max_delivery_count=MOST_DELIVERIES,
                dead_letter_on_expiration=True,
                max_size_megabytes=1,
            )
        )
        self.known: dict[str, Known] = {}
        self.next_number = 1
        self.used_tokens: list[UUID] = []

    # ── the model ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> datetime:
        return self.bench.clock.now()

    def at(self, *places: str) -> list[Known]:
        return sorted((each for each in self.known.values() if each.where in places), key=lambda each: each.number)

    def ready(self, known: Known) -> None:
        """Back in line, or expired while it wasn't."""
        expired = known.expires is not None and known.expires <= self.now
        known.where = "dead" if expired else "ready"

    def unlock(self, known: Known) -> None:
        assert known.token is not None
        self.used_tokens.append(known.token)
        known.token = known.locked_until = None

    def failed(self, known: Known, *, deferred: bool = False) -> None:
        self.unlock(known)
        known.deliveries += 1
        if known.deliveries >= MOST_DELIVERIES:
            known.where = "dead"
        elif deferred:
            known.where = "deferred"
        else:
            self.ready(known)

    def model_time(self) -> None:
        """What the passing of time does, in its order."""
        while True:
            events: list[tuple[datetime, int, str, Known]] = []
            for each in self.known.values():
                if each.where == "scheduled" and each.due is not None:
                    events.append((each.due, each.number, "due", each))
                if each.where in {"locked", "locked deferred"} and each.locked_until is not None:
                    events.append((each.locked_until, each.number, "lock", each))
                if each.where == "ready" and each.expires is not None:
                    events.append((each.expires, each.number, "expire", each))
            past = sorted(event for event in events if event[0] <= self.now)
            if not past:
                return
            moment, _, what, known = past[0]
            if what == "due":
                known.where, known.number = "ready", self.next_number
                self.next_number += 1
                known.expires = None if known.lives is None else moment + known.lives
            elif what == "lock":
                self.failed(known, deferred=known.where == "locked deferred")
            else:
                known.where = "dead"

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(lives=st.sampled_from([None, 3, 30]), delay=st.sampled_from([0, 0, 5]))
    def send(self, lives: int | None, delay: int) -> None:
        body = f"m{len(self.known)}"
        due = self.now + delay * SECOND if delay else None
        duration = None if lives is None else lives * SECOND
        self.bench.send(body, time_to_live=duration, scheduled_enqueue_time=due)
        self.known[body] = Known(
            body=body,
            session=None,
            number=self.next_number,
            where="scheduled" if due else "ready",
            due=due,
            lives=duration,
            expires=self.now + duration if duration is not None and due is None else None,
        )
        self.next_number += 1

    @rule()
    def receive(self) -> None:
        got = self.bench.take_all(limit=1)
        first = self.at("ready")[:1]
        assert [each.body for each in first] == [each.message.payload.decode() for each in got]
        for known, received in zip(first, got, strict=True):
            self.took(known, received, "locked")

    def took(self, known: Known, received: Received, where: str) -> None:
        assert (known.number, known.deliveries) == (received.sequence_number, received.delivery_count)
        assert self.now + LOCK == received.locked_until
        known.where, known.token, known.locked_until = where, received.lock_token, received.locked_until

    @rule()
    def receive_and_delete(self) -> None:
        client = self.bench.client(1, mode=ReceiveMode.RECEIVE_AND_DELETE)
        assert client.receiver is not None
        client.receiver.close()
        first = self.at("ready")[:1]
        assert [each.body for each in first] == client.bodies
        for known in first:
            known.where = "gone"

    @rule(limit=st.integers(min_value=1, max_value=3), age=st.sampled_from([0, 1, 5]))
    def delete_many(self, limit: int, age: int) -> None:
        before = self.now - age * SECOND
        old = [known for known in self.at("ready") if self.enqueued_at(known) < before][:limit]
        assert len(old) == self.bench.broker.delete_messages(QUEUE, limit, before)
        for known in old:
            known.where = "gone"

    def enqueued_at(self, known: Known) -> datetime:
        (received,) = self.bench.broker.peek(QUEUE, known.number, 1)
        return received.enqueued_at

    @precondition(lambda self: self.at("locked", "locked deferred"))
    @rule(pick=PICK, how=st.sampled_from(["complete", "abandon", "release", "defer", "dead-letter", "renew"]))
    def settle(self, pick: int, how: str) -> None:
        locked = self.at("locked", "locked deferred")
        known = locked[pick % len(locked)]
        token, deferred = known.token, known.where == "locked deferred"
        assert token is not None
        match how:
            case "complete":
                self.bench.broker.complete(QUEUE, token)
                self.unlock(known)
                known.where = "gone"
            case "abandon":
                self.bench.broker.abandon(QUEUE, token)
                self.failed(known, deferred=deferred)
            case "release":
                self.bench.broker.release(QUEUE, token)
                self.unlock(known)
                if deferred:
                    known.where = "deferred"
                else:
                    self.ready(known)
            case "defer":
                self.bench.broker.defer(QUEUE, token)
                self.unlock(known)
                known.deliveries += 1
                known.where = "deferred"
            case "dead-letter":
                self.bench.broker.dead_letter(QUEUE, token, reason="on purpose")
                self.unlock(known)
                known.where = "dead"
            case "renew":
                assert [self.now + LOCK] == self.bench.broker.renew_locks(QUEUE, [token])
                known.locked_until = self.now + LOCK

    @precondition(lambda self: self.used_tokens)
    @rule(pick=PICK, how=st.sampled_from(["complete", "abandon", "release", "defer", "dead_letter"]))
    def settle_again(self, pick: int, how: str) -> None:
        """A token that was used, or whose lock ran out, changes nothing."""
        try:
            getattr(self.bench.broker, how)(QUEUE, self.used_tokens[pick % len(self.used_tokens)])
        except BrokerError:
            return
        raise AssertionError(f"{how} took a token that was used before")

    @precondition(lambda self: self.at("deferred"))
    @rule(pick=PICK)
    def receive_deferred(self, pick: int) -> None:
        deferred = self.at("deferred")
        known = deferred[pick % len(deferred)]
        try:
            (received,) = self.bench.broker.receive_deferred(QUEUE, [known.number], ReceiveMode.PEEK_LOCK)
        except BrokerError:
            assert known.expires is not None
            assert known.expires <= self.now
            known.where = "dead"
        else:
            self.took(known, received, "locked deferred")

    @precondition(lambda self: self.at("scheduled"))
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        scheduled = self.at("scheduled")
        known = scheduled[pick % len(scheduled)]
        self.bench.broker.cancel_scheduled(QUEUE, [known.number])
        known.where = "gone"

    @rule(seconds=st.sampled_from([1, 4, 10, 11]), ticks=st.booleans())
    def time_passes(self, seconds: int, *, ticks: bool) -> None:
        if ticks:
            self.bench.pass_time(seconds * SECOND)
            self.model_time()
        else:  # second by second, without the ticks that a server would make
            for _ in range(seconds):
                self.bench.clock.advance(SECOND)
                self.bench.broker.peek(QUEUE, 0, 1)
                self.model_time()

    # ── what always holds ────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every message is in exactly one place, that of the model, in the order of its number."""
        here = self.at("ready", "scheduled", "locked", "deferred", "locked deferred")
        peeked = self.bench.broker.peek(QUEUE, 0, 250)
        assert [(each.body, each.number, each.deliveries) for each in here] == [
            (each.message.payload.decode(), each.sequence_number, each.delivery_count) for each in peeked
        ]
        states = {"scheduled": MessageState.SCHEDULED, "deferred": MessageState.DEFERRED}
        states["locked deferred"] = MessageState.DEFERRED
        assert [states.get(each.where, MessageState.ACTIVE) for each in here] == [each.state for each in peeked]
        assert [each.token for each in here] == [each.lock_token for each in peeked]
        dead = self.bench.broker.peek(DEAD, 0, 250)
        assert {each.body for each in self.at("dead")} == {each.message.payload.decode() for each in dead}
        assert len(self.at("dead")) == len(dead)

    @invariant()
    def counts_are_right(self) -> None:
        queue = self.bench.entities.queue("orders").queue
        counts = self.bench.entities.counts(queue)
        assert (
            len(self.at("ready", "locked", "deferred", "locked deferred")),
            len(self.at("scheduled")),
            len(self.at("dead")),
        ) == (counts.active, counts.scheduled, counts.dead_letter)
        sizes = [stored.size for stored in queue.messages]
        assert queue.exits is not None
        sizes += [stored.size for stored in queue.exits.dead_letters.messages]
        assert sum(sizes) == counts.size_in_bytes
        assert len(self.at("ready")) == len(queue.line)

    @invariant()
    def timers_are_for_something(self) -> None:
        """There is one for each lock, each schedule and each end to come, and none besides."""
        timed = self.at("scheduled", "locked", "locked deferred")
        ending = [
            each
            for each in self.at("ready", "locked", "deferred", "locked deferred")
            if each.expires is not None and each.expires > self.now
        ]
        assert len(timed) + len(ending) == len(self.bench.broker.world.timers)


class SessionMachine(RuleBasedStateMachine):
    """A queue with two sessions and up to two receivers: order within a session, one holder each, nothing lost."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(QueueSettings(lock_duration=LOCK, max_delivery_count=100, requires_session=True))
        self.sent: dict[str, list[str]] = {session: [] for session in SESSIONS}
        self.done: dict[str, set[str]] = {session: set() for session in SESSIONS}
        self.clients: list[Client] = []

    def live(self) -> list[Client]:
        return [client for client in self.clients if client.receiver is not None and not client.errors]

    @rule(session=st.sampled_from(SESSIONS))
    def send(self, session: str) -> None:
        body = f"{session}{len(self.sent[session])}"
        self.bench.send(body, session_id=session)
        self.sent[session].append(body)

    @precondition(lambda self: len(self.live()) < 2)
    @rule(session=st.sampled_from([*SESSIONS, None]))
    def accept(self, session: str | None) -> None:
        held = {client.session.session_id for client in self.live()}
        client = self.bench.accept(session, timeout=SECOND)
        if session is None:
            left = [name for name in SESSIONS if name not in held and len(self.done[name]) < len(self.sent[name])]
            assert (client.receiver is not None) is bool(left)
            self.bench.pass_time(SECOND)
        else:
            assert (client.receiver is None) is (session in held)
        self.clients.append(client)

    @precondition(lambda self: self.live())
    @rule(pick=PICK, credit=st.integers(min_value=1, max_value=3))
    def receive(self, pick: int, credit: int) -> None:
        client = self.live()[pick % len(self.live())]
        before = len(client.got)
        client.wants(credit)
        client.wants(0)
        session = client.session.session_id
        locked = {each.message.payload.decode() for each in self.unsettled(client)[: -len(client.got[before:]) or None]}
        left = [body for body in self.sent[session] if body not in self.done[session] and body not in locked]
        assert left[:credit] == client.bodies[before:]

    def unsettled(self, client: Client) -> list[Received]:
        return [each for each in client.got if each.lock_token in self.locks()]

    def locks(self) -> set[UUID | None]:
        return {each.lock_token for each in self.bench.broker.peek(QUEUE, 0, 250)} - {None}

    @precondition(lambda self: any(self.unsettled(client) for client in self.live()))
    @rule(pick=PICK, how=st.sampled_from(["complete", "complete", "abandon"]))
    def settle(self, pick: int, how: str) -> None:
        clients = [client for client in self.live() if self.unsettled(client)]
        client = clients[pick % len(clients)]
        received = self.unsettled(client)[0]
        assert received.lock_token is not None
        getattr(self.bench.broker, how)(QUEUE, received.lock_token)
        if how == "complete":
            self.done[client.session.session_id].add(received.message.payload.decode())

    @precondition(lambda self: self.live())
    @rule(pick=PICK)
    def close(self, pick: int) -> None:
        client = self.live()[pick % len(self.live())]
        assert client.receiver is not None
        client.receiver.close()
        self.clients.remove(client)

    @rule(seconds=st.sampled_from([1, 6, 10]))
    def time_passes(self, seconds: int) -> None:
        self.bench.pass_time(seconds * SECOND)

    @precondition(lambda self: self.live())
    @rule()
    def renew(self) -> None:
        session = self.live()[0].session
        assert self.bench.clock.now() + LOCK == self.bench.broker.renew_session(QUEUE, session.session_id)

    @invariant()
    def nothing_is_lost(self) -> None:
        for session in SESSIONS:
            left = [body for body in self.sent[session] if body not in self.done[session]]
            peeked = self.bench.broker.peek(QUEUE, 0, 250, session)
            assert left == [each.message.payload.decode() for each in peeked]

    @invariant()
    def a_session_has_one_holder(self) -> None:
        held = [client.session.session_id for client in self.live()]
        assert len(held) == len(set(held))

    @invariant()
    def locks_are_the_holders(self) -> None:
        assert self.locks() == {each.lock_token for client in self.live() for each in self.unsettled(client)}


_FEW = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = _FEW
TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = _FEW
