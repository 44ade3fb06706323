"""`Link`: one receiver on one connection, used by one thread at a time.

The SDK's objects aren't made for several threads: two that read from one connection mix up its frames. So each link has
a turn, and a receive that waits gives it to those who settle or renew, between two reads.

```
 poller       receive: give credit ─ read ─ read ─┐           ┌─ read: 3 messages ─ take the credit left back
 settler                                settle ───┴─ sent ────┘
```

Every call but a receive ends by the deadline of its thread (`deadlines`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.drivers.service_bus import connections, deadlines, dispositions, sdk
from cloudq.drivers.service_bus.dispositions import RELEASE, Disposition, Sent
from cloudq.drivers.service_bus.faults import is_of_the_link, is_of_the_lock, is_unreachable, session_lost
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.receiving import enqueued_at, locked_until
from cloudq.drivers.service_bus.turns import Turn

# An answer comes at once as a rule. One that doesn't keeps nobody else from the link.
PROMPT: Final = timedelta(milliseconds=250)
DRAIN_PATIENCE: Final = timedelta(seconds=2)
# How long a look at what has come may take.
GLANCE: Final = timedelta(milliseconds=1)

T = TypeVar("T")
Step: TypeAlias = tuple[ServiceBusReceivedMessage, Disposition]


class Taken(NamedTuple):
    """A message that was received.

    Attributes:
        message: As the SDK gives it.
        ends: When its lock ends, by `Clock.elapsed`, counted from a moment at which it can't have been granted yet;
            `None` if it is over.
    """

    message: ServiceBusReceivedMessage
    ends: timedelta | None


class Link:
    """A receiver of one entity, opened at the first use and again after a cut.

    Args:
        make: Makes a receiver, which isn't open yet.
        clock: Where the time of locks comes from.
        span: How long the entity's locks last.
        patience: How long a receive waits for the link to open.
        session: An open receiver of a session: the link ends with it, as its lock does.
    """

    def __init__(
        self,
        make: Callable[[], ServiceBusReceiver],
        *,
        clock: Clock,
        span: LockSpan,
        patience: timedelta,
        session: ServiceBusReceiver | None = None,
    ) -> None:
        self._make = make
        self._clock = clock
        self._span = span
        self._patience = patience
        self._receiver = session
        self._one_session = session is not None
        self._turn = Turn()
        self._interrupted = 0
        self._receiving = False  # so that what was read is kept for it
        self._quiet = timedelta(0)  # the last moment at which nothing that was sent lay unread
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed for good."""
        return self._closed

    def receive(self, limit: int, wait: timedelta) -> list[Taken]:
        """Up to `limit` messages, as soon as there is one. No credit is left with the service.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        until = SYSTEM_CLOCK.elapsed() + wait
        interrupted = self._interrupted
        with self._turn.hold():
            with deadlines.within(self._patience):
                receiver = self._open()
            if receiver is None:
                return []
            incoming = sdk.incoming(receiver)
            self._receiving = True
            taken: list[Taken] = []
            try:
                # Before credit is given nothing is granted.
                self._quiet = self._clock.elapsed()
                sdk.give_credit(receiver, limit)
                taken = self._first(receiver, incoming, until, interrupted)
                if len(taken) < limit and self._receiver is receiver:
                    if not sdk.take_credit_back(receiver, DRAIN_PATIENCE):
                        self._drop(receiver)  # or the service would count other credit than we do, and send nothing
                    taken += self._take(receiver, incoming)
                if self._closed and taken:
                    self._give_back(receiver, taken)
                    taken = []
            except BaseException as error:
                self._receiving = isinstance(error, Exception)  # else nobody takes it, and it is released
                self._drop(receiver)
                taken += self._take(receiver, incoming)
                # What came before the cut is locked to us, and is settled by another link.
                if not taken or not isinstance(error, Exception):
                    raise
            finally:
                self._receiving = False
        return taken

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        """Carries out each step; the error of each, in order. All answers are awaited together."""
        # Half the time is for the answers, and half for the other way where none comes.
        until = SYSTEM_CLOCK.elapsed() + deadlines.left() / 2
        receiver, sent = self._receiver, None
        try:
            with self._turn.hold(deadlines.left()):
                receiver = self._open()
                if receiver is None:
                    return [self._gone()] * len(steps)
                sent = Sent(receiver, [step for step in steps if step[0]._receiver is receiver])
                cut = self._read_answers(receiver, sent, PROMPT)
                if cut is not None or sent.answered:
                    return self._conclude(receiver, sent, steps, cut)
            while cut is None and not sent.answered and SYSTEM_CLOCK.elapsed() < until:
                # Other callers use the link between two reads; answers that they read also resolve this call.
                with self._turn.hold(deadlines.left()):
                    if self._receiver is not receiver:
                        break
                    cut = self._read_answers(receiver, sent, sdk.READ)
            with self._turn.hold(deadlines.left()):
                return self._conclude(receiver, sent, steps, cut)
        except Exception as error:  # noqa: BLE001 - each of them has it that wasn't answered before
            answers = iter([] if sent is None else sent.answers(error))
            return [error if sent is None or one[0]._receiver is not receiver else next(answers) for one in steps]

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[timedelta | BaseException]:
        """Renews the lock of each message: when it ends, by `Clock.elapsed`, or why not, in order."""
        since = self._clock.elapsed()
        try:
            with self._turn.hold(deadlines.left()):
                receiver = self._open()
                if receiver is None:
                    return [self._gone()] * len(messages)
                return [self._span.ends(since, moment) for moment in sdk.renew(receiver, messages)]
        except Exception as error:  # noqa: BLE001 - reported for each of them
            if len(messages) == 1 or not is_of_the_lock(error):
                return [error] * len(messages)
        # One lost lock fails the call for all: each by itself.
        return [self.renew([message])[0] for message in messages]

    def renew_session(self, count: int) -> list[timedelta | BaseException]:
        """Renews the lock of the session: the same answer for each of its messages."""
        since = self._clock.elapsed()
        try:
            with self._turn.hold(deadlines.left()):
                receiver = self._open()
                if receiver is None or receiver.session is None:
                    return [self._gone()] * count
                return [self._span.ends(since, sdk.renew_session(receiver))] * count
        except Exception as error:  # noqa: BLE001 - reported
            return [error] * count

    def watch(self, message: ServiceBusReceivedMessage, lost: Callable[[str], None] | None) -> None:
        """Never calls `lost`: a message's lock outlives its link, and is renewed and settled by another."""

    def ask(self, question: Callable[[ServiceBusReceiver], list[T]]) -> list[T]:
        """The answer to a question that needs a receiver, such as a peek; nothing once the link is closed.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        with self._turn.hold(deadlines.left()):
            receiver = self._open()
            return [] if receiver is None else question(receiver)

    def look(self) -> bool:
        """Reads what has come, without waiting. Whether the link is still open: a cut is noticed only by reading."""
        with self._turn.hold():
            receiver = self._receiver
            if self._closed or receiver is None:
                return False
            try:
                if sdk.is_open(receiver):
                    self._read(receiver, GLANCE)
            except Exception:  # noqa: BLE001 - whatever it is, the link is gone
                self._drop(receiver)
            return self._receiver is receiver and sdk.is_open(receiver)

    def interrupt(self) -> None:
        """Makes a receive under way return soon."""
        self._interrupted += 1

    def close(self) -> None:
        """Closes the connection, for good, after a receive under way: what that brings is given back.

        Other locked messages stay locked until their locks end; a session's lock ends now.
        """
        self._closed = True
        try:
            self._turn.take(deadlines.left())
        except TimeoutError:
            if self._receiver is not None:
                self._drop(self._receiver)  # under somebody's hands: they wait for what doesn't come
            return
        try:
            if self._receiver is not None:
                self._drop(self._receiver)
        finally:
            self._turn.give()

    # ── with the turn taken ──────────────────────────────────────────────────────────────────────────────

    def _first(self, receiver: ServiceBusReceiver, incoming: Any, until: timedelta, interrupted: int) -> list[Taken]:
        """Waits for the first messages, or until the time is up. Returns those that are there then."""
        while True:
            taken = self._take(receiver, incoming)  # a settlement in between may have read some
            if not taken:
                self._read(receiver)
                taken = self._take(receiver, incoming)
            late = SYSTEM_CLOCK.elapsed() >= until
            if taken or late or self._closed or interrupted != self._interrupted:
                return taken
            self._turn.let_others()
            if self._receiver is not receiver:
                return self._take(receiver, incoming)  # it was cut meanwhile; the next receive opens another

    def _take(self, receiver: ServiceBusReceiver, incoming: Any) -> list[Taken]:
        """Takes the messages that were read, with the end of each lock."""
        messages = sdk.take(receiver, incoming)
        if self._one_session:  # whose lock it is
            return [Taken(message, self._span.ends(self._quiet, None)) for message in messages]
        return [
            Taken(message, self._span.ends(self._quiet, locked_until(message), stored_at=enqueued_at(message)))
            for message in messages
        ]

    def _read(self, receiver: ServiceBusReceiver, wait: timedelta = sdk.READ) -> None:
        began = self._clock.elapsed()
        # The process may have stood still for longer than a lock lasts. What lay in the socket meanwhile was granted
        # after the last time that it was empty, and that is all that is known.
        if not sdk.read(receiver, wait) and sdk.incoming(receiver).empty():
            self._quiet = began

    def _give_back(self, receiver: ServiceBusReceiver, taken: Sequence[Taken]) -> None:
        """Unlocks messages that nobody will take any more, and waits for the answer."""
        if self._receiver is receiver:
            sent = Sent(receiver, [(one.message, RELEASE) for one in taken])
            self._read_answers(receiver, sent, DRAIN_PATIENCE)
            sent.conclude(None)

    def _conclude(
        self, receiver: ServiceBusReceiver, sent: Sent, steps: Sequence[Step], cut: BaseException | None
    ) -> list[BaseException | None]:
        """The error of each step, once what came by another link, or got no answer, is settled by its token."""
        errors: list[BaseException | None] = []
        answers = iter(sent.conclude(cut))
        if sent.failed or not sdk.is_open(receiver):
            self._drop(receiver)
        unreachable: BaseException | None = None
        for message, disposition in steps:
            error = next(answers) if message._receiver is receiver else None
            if message._receiver is not receiver or is_of_the_link(error):
                # Each waits for its answer. Where one got none, the others would wait as long, one after the other.
                error = unreachable or self._settle_by_token(message, disposition)
                unreachable = error if is_unreachable(error) else None
            errors.append(error)
        return errors

    def _read_answers(self, receiver: ServiceBusReceiver, sent: Sent, wait: timedelta) -> BaseException | None:
        """Reads until all is answered, at most for `wait`. Returns what cut the connection, if something did."""
        until = SYSTEM_CLOCK.elapsed() + min(wait, deadlines.left())
        try:
            while not sent.answered and SYSTEM_CLOCK.elapsed() < until:
                self._read(receiver)
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, what was answered before holds
            return error
        return None

    def _open(self) -> ServiceBusReceiver | None:
        """The receiver, opened if it isn't open; `None` once the link is closed."""
        receiver = self._receiver
        if receiver is not None and sdk.is_open(receiver):
            return receiver
        if receiver is not None:
            self._drop(receiver)
        if self._closed:
            return None
        receiver = connections.prepare(connections.without_credit(self._make()))
        try:
            connections.open_owner(receiver)
        except BaseException:
            self._drop(receiver)
            raise
        self._receiver = receiver
        return receiver

    def _settle_by_token(self, message: ServiceBusReceivedMessage, disposition: Disposition) -> BaseException | None:
        try:
            receiver = self._open()
            if receiver is None:
                return self._gone()
            dispositions.settle_by_token(receiver, message, disposition)
        except Exception as error:  # noqa: BLE001 - reported
            return error
        return None

    def _gone(self) -> BaseException:
        """The error to report once the link is closed. A session's lock ends with its link."""
        return session_lost() if self._one_session else ConnectionError("the link is closed")

    def _drop(self, receiver: ServiceBusReceiver) -> None:
        if self._receiver is receiver:
            self._receiver = None
            self._closed = self._closed or self._one_session
        if self._receiving and not self._closed:
            sdk.keep_incoming(receiver)
        connections.close(receiver)
