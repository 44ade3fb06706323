"""`Link`: one receiver on one connection, used by one thread at a time.

The SDK's objects aren't made for several threads: two that read from one connection mix up its frames. So a lock goes
with each, and a receive that waits lets whoever settles or renews have its turn between two reads.

```
 poller       receive: give credit ─ read ─ read ─┐           ┌─ read: 3 messages ─ take the credit left back
 settler                                settle ───┴─ sent ────┘
```
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusCommunicationError, ServiceBusConnectionError

from cloudq.drivers.service_bus import opening, sdk
from cloudq.drivers.service_bus.sdk import Disposition

OPEN_PATIENCE: Final = timedelta(seconds=20)
# How long an answer to a settlement, and to the credit taken back, is awaited.
ANSWER_PATIENCE: Final = timedelta(seconds=5)
# An answer comes at once as a rule. One that doesn't keeps nobody else from the link.
PROMPT: Final = timedelta(milliseconds=250)
DRAIN_PATIENCE: Final = timedelta(seconds=2)

T = TypeVar("T")
Step: TypeAlias = tuple[ServiceBusReceivedMessage, Disposition]


class Link:
    """A receiver of one entity, opened at the first use and again after a cut.

    Args:
        make: Makes a receiver, which isn't open yet.
        session: An open receiver of a session: the link ends with it, as its lock does.
    """

    def __init__(self, make: Callable[[], ServiceBusReceiver], *, session: ServiceBusReceiver | None = None) -> None:
        self._make = make
        self._receiver = session
        self._one_session = session is not None
        self._turn = threading.Lock()
        self._waiting = 0
        self._interrupted = 0
        self._receiving = False  # so that what was read is kept for it
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed for good."""
        return self._closed

    def receive(self, limit: int, wait: timedelta) -> list[ServiceBusReceivedMessage]:
        """Up to `limit` messages, as soon as there is one. No credit is left with the service.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        until = time.monotonic() + wait.total_seconds()
        interrupted = self._interrupted
        with self._own_turn():
            receiver = self._opened()
            if receiver is None:
                return []
            incoming = sdk.incoming(receiver)
            self._receiving = True
            messages: list[ServiceBusReceivedMessage] = []
            try:
                sdk.give_credit(receiver, limit)
                messages = self._first(receiver, incoming, until, interrupted)
                if len(messages) < limit and self._receiver is receiver:
                    if not sdk.take_credit_back(receiver, DRAIN_PATIENCE):
                        self._drop(receiver)  # or the service would count other credit than we do, and send nothing
                    messages += sdk.taken(receiver, incoming)
            except BaseException as error:
                self._receiving = isinstance(error, Exception)  # else nobody takes it, and it is released
                self._drop(receiver)
                messages += sdk.taken(receiver, incoming)
                # What came before the cut is locked to us, and is settled by another link.
                if not messages or not isinstance(error, Exception):
                    raise
            finally:
                self._receiving = False
        return messages

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        """Carries out each step; the error of each, in order. All answers are awaited together."""
        with self._own_turn(urgent=True):
            try:
                receiver = self._opened()
            except Exception as error:  # noqa: BLE001 - each of them has it
                return [error] * len(steps)
            if receiver is None:
                return [self._gone()] * len(steps)
            sent = sdk.Sent(receiver, [step for step in steps if step[0]._receiver is receiver])
            cut = self._read_answers(receiver, sent, PROMPT)
            if cut is not None or sent.answered:
                return self._concluded(receiver, sent, steps, cut)
        until = time.monotonic() + ANSWER_PATIENCE.total_seconds()
        while cut is None and not sent.answered and time.monotonic() < until and self._receiver is receiver:
            # Whoever renews, settles or receives goes before; what they read counts for this one too.
            time.sleep(_GAP)
            with self._own_turn(urgent=True):
                if self._receiver is receiver:
                    cut = self._read_answers(receiver, sent, sdk.READ)
        with self._own_turn(urgent=True):
            return self._concluded(receiver, sent, steps, cut)

    def _concluded(
        self, receiver: ServiceBusReceiver, sent: sdk.Sent, steps: Sequence[Step], cut: BaseException | None
    ) -> list[BaseException | None]:
        """The error of each step, once what came by another link, or got no answer, is settled by its token."""
        errors: list[BaseException | None] = []
        answers = iter(sent.conclude(cut))
        if sent.failed or not sdk.is_open(receiver):
            self._drop(receiver)
        unreachable: BaseException | None = None
        for message, disposition in steps:
            error = next(answers) if message._receiver is receiver else None
            if message._receiver is not receiver or _is_of_the_link(error):
                # Each waits for its answer. Where one got none, the others would wait as long, one after the other.
                error = unreachable or self._settled_by_token(message, disposition)
                unreachable = error if isinstance(error, _UNREACHABLE) else None
            errors.append(error)
        return errors

    def _read_answers(self, receiver: ServiceBusReceiver, sent: sdk.Sent, wait: timedelta) -> BaseException | None:
        """Reads until all is answered, or for so long; what cut the connection, if something did."""
        until = time.monotonic() + wait.total_seconds()
        try:
            while not sent.answered and time.monotonic() < until:
                sdk.read(receiver)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was answered before holds
            return error
        return None

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[datetime | BaseException]:
        """Renews the lock of each message: until when it holds, or why not, in order."""
        with self._own_turn(urgent=True):
            try:
                receiver = self._opened()
                if receiver is None:
                    return [self._gone()] * len(messages)
                return list(sdk.renew(receiver, messages))
            except Exception as error:  # noqa: BLE001 - reported for each of them
                if len(messages) == 1 or not _is_of_one(error):
                    return [error] * len(messages)
        # One lost lock fails the call for all: each by itself.
        return [self.renew([message])[0] for message in messages]

    def renew_session(self, count: int) -> list[datetime | BaseException]:
        """Renews the lock of the session: the same answer for each of its messages."""
        with self._own_turn(urgent=True):
            try:
                receiver = self._opened()
                if receiver is None or receiver.session is None:
                    return [self._gone()] * count
                return [sdk.renew_session(receiver)] * count
            except Exception as error:  # noqa: BLE001 - reported
                return [error] * count

    def asked(self, question: Callable[[ServiceBusReceiver], list[T]]) -> list[T]:
        """The answer to a question that needs a receiver, such as a peek; nothing once the link is closed.

        Raises:
            ServiceBusError: The service can't be reached, or refuses.
        """
        with self._own_turn():
            receiver = self._opened()
            return [] if receiver is None else question(receiver)

    def interrupt(self) -> None:
        """Makes a receive under way return soon."""
        self._interrupted += 1

    def close(self) -> None:
        """Closes the connection, for good. What is locked stays so until its lock ends."""
        self._closed = True
        with self._own_turn(urgent=True):
            if self._receiver is not None:
                self._drop(self._receiver)

    def _first(
        self, receiver: ServiceBusReceiver, incoming: Any, until: float, interrupted: int
    ) -> list[ServiceBusReceivedMessage]:
        """What has come once something has, or once there is no more time."""
        while True:
            messages = sdk.taken(receiver, incoming)  # whoever settled meanwhile may have read some
            if not messages:
                sdk.read(receiver)
                messages = sdk.taken(receiver, incoming)
            if messages or time.monotonic() >= until or self._closed or interrupted != self._interrupted:
                return messages
            if self._waiting:
                self._let_others()
                if self._receiver is not receiver:
                    return sdk.taken(receiver, incoming)  # it was cut meanwhile; the next receive opens another

    def _let_others(self) -> None:
        self._turn.release()
        try:
            # Locks are not fair: whoever waits has to have taken it before it is asked for again.
            while self._waiting:
                time.sleep(_GAP)
        finally:
            self._turn.acquire()

    @contextmanager
    def _own_turn(self, *, urgent: bool = False) -> Iterator[None]:
        if urgent:
            with _COUNTING:
                self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            if urgent:
                with _COUNTING:
                    self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    def _opened(self) -> ServiceBusReceiver | None:
        receiver = self._receiver
        if receiver is not None and sdk.is_open(receiver):
            return receiver
        if receiver is not None:
            self._drop(receiver)
        if self._one_session:
            self._closed = True
        if self._closed:
            return None
        receiver = opening.quick_to_open(opening.without_credit(self._make()))
        try:
            opening.open_receiver(receiver, OPEN_PATIENCE)
        except BaseException:
            self._drop(receiver)
            raise
        self._receiver = receiver
        return receiver

    def _settled_by_token(self, message: ServiceBusReceivedMessage, disposition: Disposition) -> BaseException | None:
        try:
            receiver = self._opened()
            if receiver is None:
                return self._gone()
            sdk.settle_by_token(receiver, message, disposition)
        except Exception as error:  # noqa: BLE001 - reported
            return error
        return None

    def _gone(self) -> BaseException:
        """What is reported once the link is closed. A session's lock ends with its link."""
        return session_lost() if self._one_session else ConnectionError("the link is closed")

    def _drop(self, receiver: ServiceBusReceiver) -> None:
        if self._receiver is receiver:
            self._receiver = None
        if self._receiving and not self._closed:
            sdk.keep_incoming(receiver)
        opening.closed(receiver)


_COUNTING: Final = threading.Lock()
_UNREACHABLE: Final = (ServiceBusConnectionError, ServiceBusCommunicationError, OperationTimeoutError, OSError)
_GAP: Final = 0.0005


def session_lost() -> BaseException:
    """The report for a message whose session isn't locked to this process any more."""
    from azure.servicebus.exceptions import SessionLockLostError

    return SessionLockLostError(message="the session's link is closed")


def _is_of_the_link(error: BaseException | None) -> bool:
    """Whether a message may still be settled, by another link."""
    return isinstance(error, (sdk.Cut, sdk.Unconfirmed, ServiceBusConnectionError))


def _is_of_one(error: Exception) -> bool:
    """Whether it says something of a lock, and not of the connection."""
    from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError, ServiceBusError

    return isinstance(error, (MessageLockLostError, MessageNotFoundError)) or (
        type(error) is ServiceBusError and "lock" in str(error).lower()
    )
