"""What the SDK can do and doesn't offer: credit, settlements that overlap, locks renewed many at a time.

All uses of the SDK's private parts are in this file, in `opening.py` and `connections.py`. They were written against
azure-servicebus 7.15.0; `tests/unit/drivers/service_bus/test_sdk.py` fails where a newer one has moved them.

* `receive_messages` waits 0.2 s for more once it has something, and leaves its credit with the service: the next
  messages are then locked to a receiver that nobody reads from. So credit is given and taken back here.
* `complete_message` waits for the answer to each settlement, a round trip a message. Here a batch is sent, then all
  answers are awaited.
* Reads of a connection that wait as long as they are told to, and whose errors are the SDK's public ones.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from queue import Queue
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus._common import mgmt_handlers
from azure.servicebus._common.constants import (
    MGMT_REQUEST_LOCK_TOKENS,
    MGMT_REQUEST_SESSION_ID,
    MGMT_RESPONSE_MESSAGE_EXPIRATION,
    MGMT_RESPONSE_RECEIVER_EXPIRATION,
    REQUEST_RESPONSE_RENEW_SESSION_LOCK_OPERATION,
    REQUEST_RESPONSE_RENEWLOCK_OPERATION,
)
from azure.servicebus._pyamqp.constants import ConnectionState, LinkState
from azure.servicebus._pyamqp.error import AMQPConnectionError, AMQPError, AuthenticationException, ErrorCondition
from azure.servicebus._pyamqp.outcomes import Accepted, Modified, Rejected, Released
from azure.servicebus.exceptions import ServiceBusConnectionError

# How long one read waits for a frame. Whoever else wants the connection waits as long.
READ: Final = timedelta(milliseconds=50)
_DEAD_LETTER: Final = b"com.microsoft:dead-letter"
_DELIVERY_COUNT: Final = 5  # its place in a flow frame
_REASON: Final = "DeadLetterReason"
_DESCRIPTION: Final = "DeadLetterErrorDescription"

Disposition = Accepted | Modified | Rejected | Released

COMPLETE: Final = Accepted()
ABANDON: Final = Modified(delivery_failed=True, undeliverable_here=False, message_annotations=None)
RELEASE: Final = Released()


# What the SDK raises of its own accord where a connection is cut, and now and then as it is.
Cut = AMQPConnectionError


class Unconfirmed(Exception):
    """A settlement was sent and not answered: it may or may not have been carried out."""


def dead_lettering(reason: str, description: str, properties: Mapping[str, str]) -> Rejected:
    """The disposition that dead-letters; the service stores reason, description and properties with the message."""
    info = {**properties, _REASON: reason, _DESCRIPTION: description}
    return Rejected(error=AMQPError(condition=_DEAD_LETTER, description=description, info=info))


def is_open(receiver: ServiceBusReceiver) -> bool:
    """Whether its link is attached and its connection not cut, as far as is known without reading."""
    handler = receiver._handler
    if not (receiver._running and handler and handler._link and handler._link.state is LinkState.ATTACHED):
        return False
    connection = handler._connection
    # After a cut the link goes on saying that it is attached.
    return connection is not None and connection._error is None and connection.state is not ConnectionState.END


def give_credit(receiver: ServiceBusReceiver, count: int) -> None:
    """Lets the service send so many messages."""
    _link(receiver).flow(link_credit=count)


def read(receiver: ServiceBusReceiver, wait: timedelta = READ) -> None:
    """Reads the next frame, if one comes in time, and does what it says. Renews the connection's token when it is time.

    Raises:
        ServiceBusError: The connection or the link is gone, or the token isn't renewed.
    """
    link = _link(receiver)
    connection: Any = receiver._handler._connection
    authenticator: Any = receiver._handler._cbs_authenticator
    try:
        if authenticator is not None:
            # The SDK looks after its token, which lasts for an hour, only in its own way of reading.
            authenticator.handle_token()
        with _patient(connection._transport.sock, wait):
            connection.listen()
    except (AMQPConnectionError, AuthenticationException, TimeoutError) as cut:  # found cut before, or not let in
        keep_incoming(receiver)
        raise receiver._handle_exception(cut) from cut
    error = connection._error or link._error
    if error is None and link.state is LinkState.DETACHED:
        error = AMQPConnectionError(ErrorCondition.LinkDetachForced, description="the link was detached")
    if error is not None:
        keep_incoming(receiver)
        raise receiver._handle_exception(error)


@contextlib.contextmanager
def _patient(sock: socket.socket | None, wait: timedelta) -> Iterator[None]:
    """Reads of the socket wait so long; the SDK's own argument for that does nothing, and 0.2 s hold others up."""
    if sock is None:
        yield
        return
    before = sock.gettimeout()
    sock.settimeout(wait.total_seconds())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it may be closed by now
            sock.settimeout(before)


def incoming(receiver: ServiceBusReceiver) -> Any:
    """Where an open receiver's messages are when they were read."""
    return receiver._handler._received_messages


def keep_incoming(receiver: ServiceBusReceiver) -> None:
    """Has what was read outlast the connection: the SDK would try to release it when it closes, also one that is cut.

    Whoever has asked for `incoming` before has it still.
    """
    if receiver._handler is not None:
        receiver._handler._received_messages = Queue()


def taken(receiver: ServiceBusReceiver, queue: Any) -> list[ServiceBusReceivedMessage]:
    """The messages that were read and lie in `queue`, which is the receiver's `incoming`."""
    messages = []
    while not queue.empty():
        messages.append(receiver._build_received_message(queue.get()))
        queue.task_done()
    return messages


def take_credit_back(receiver: ServiceBusReceiver, patience: timedelta) -> bool:
    """Takes back what credit is left and reads what the service had sent by then. Whether it said so in time.

    Where it didn't, the service counts other credit than this end, and the link must not be used again.

    Args:
        receiver: An open receiver.
        patience: How long the next frame may take: what the service sent before its answer may be much.
    """
    connection: Any = receiver._handler._connection
    link = _link(receiver)
    if link.current_link_credit <= 0:
        return True
    answered = False

    def on_flow(frame: Sequence[Any]) -> None:
        nonlocal answered
        answered = True
        # The service counts what it didn't send as sent (AMQP 1.0, 2.6.7): so does this end, or later credit is less.
        link.delivery_count = frame[_DELIVERY_COUNT]

    link._incoming_flow = on_flow
    try:
        link.flow(link_credit=link.current_link_credit, drain=True)
        until, last = time.monotonic() + patience.total_seconds(), connection._last_frame_received_time
        while not answered and time.monotonic() < until:
            read(receiver)
            if connection._last_frame_received_time != last:
                until, last = time.monotonic() + patience.total_seconds(), connection._last_frame_received_time
    finally:
        del link._incoming_flow
    link.current_link_credit = 0
    return answered


class Sent:
    """Settlements that were sent by one link, whose answers are read by whoever reads from it.

    Args:
        receiver: The receiver that the messages came by.
        steps: Each message with what is to become of it.
    """

    def __init__(
        self, receiver: ServiceBusReceiver, steps: Sequence[tuple[ServiceBusReceivedMessage, Disposition]]
    ) -> None:
        self._receiver = receiver
        self._steps = steps
        self._waiting: dict[int, dict[str, Any]] = _link(receiver)._pending_dispositions
        self._entries: list[dict[str, Any]] = []
        self._errors: list[BaseException | None] = [None] * len(steps)
        for index, (message, disposition) in enumerate(steps):
            entry = {"settled": False, "outcome": None}
            self._entries.append(entry)
            self._waiting[message._delivery_id] = entry
            try:
                _link(receiver)._outgoing_disposition(
                    message._delivery_id, None, message._delivery_tag, False, disposition, None
                )
            except Exception as error:  # noqa: BLE001 - the connection is cut; another may settle it
                entry["settled"] = True
                self._errors[index] = unsent = Unconfirmed("the settlement could not be sent")
                unsent.__cause__ = error

    @property
    def failed(self) -> bool:
        """Whether one could not even be sent: the connection is no good any more, whether or not it knows."""
        return any(self._errors)

    @property
    def answered(self) -> bool:
        """Whether all are."""
        return all(entry["settled"] for entry in self._entries)

    def conclude(self, cut: BaseException | None) -> list[BaseException | None]:
        """Waits no longer. The error of each, in order; `Unconfirmed`, because of `cut`, where there is no answer."""
        for index, (message, disposition) in enumerate(self._steps):
            self._waiting.pop(message._delivery_id, None)
            if self._errors[index] is None:
                self._errors[index] = _answer(self._receiver, self._entries[index], disposition, cut)
        return self._errors


def settle_by_token(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, disposition: Disposition) -> None:
    """Settles a message that came by a link that is gone; only a lock that still holds is.

    Raises:
        ServiceBusError: It was not settled.
    """
    details = None
    if isinstance(disposition, Accepted):
        status = "completed"
    elif isinstance(disposition, Rejected):
        status = "suspended"
        said = disposition.error.info
        details = {"deadletter-reason": said[_REASON], "deadletter-description": said[_DESCRIPTION]}
        kept = {name: value for name, value in said.items() if name not in (_REASON, _DESCRIPTION)}
        if kept:
            details["properties-to-modify"] = kept
    else:
        status = "abandoned"
    tokens: list[Any] = [message.lock_token]
    receiver._settle_message_via_mgmt_link(status, tokens, dead_letter_details=details)


def renew(receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage]) -> list[datetime]:
    """Renews the locks of messages by one call, all or none; until when each holds, in order.

    Raises:
        ServiceBusError: At least one is lost, or the call failed.
    """
    tokens = receiver._amqp_transport.AMQP_ARRAY_VALUE([message.lock_token for message in messages])
    answer = receiver._mgmt_request_response_with_retry(
        REQUEST_RESPONSE_RENEWLOCK_OPERATION,
        {MGMT_REQUEST_LOCK_TOKENS: tokens},
        mgmt_handlers.message_lock_renew_op,
        timeout=None,
    )
    expirations = answer[MGMT_RESPONSE_MESSAGE_EXPIRATION]
    return [datetime.fromtimestamp(milliseconds / 1000, UTC) for milliseconds in expirations]


def renew_session(receiver: ServiceBusReceiver) -> datetime:
    """Renews the lock of the receiver's session; until when it holds.

    The SDK's own way asks this machine's clock first whether the lock is over; the service knows better.

    Raises:
        ServiceBusError: It is lost, or the call failed.
    """
    answer = receiver._mgmt_request_response_with_retry(
        REQUEST_RESPONSE_RENEW_SESSION_LOCK_OPERATION,
        {MGMT_REQUEST_SESSION_ID: receiver.session.session_id},
        mgmt_handlers.session_lock_renew_op,
        timeout=None,
    )
    until = datetime.fromtimestamp(answer[MGMT_RESPONSE_RECEIVER_EXPIRATION] / 1000, UTC)
    receiver.session._locked_until_utc = until
    return until


def _link(receiver: ServiceBusReceiver) -> Any:
    """The link itself.

    Raises:
        ServiceBusConnectionError: The SDK has closed it, because its connection was cut.
    """
    handler = receiver._handler
    link = None if handler is None else handler._link
    if link is None or handler._connection is None:
        raise ServiceBusConnectionError(message="the connection was cut")
    return link


def _answer(
    receiver: ServiceBusReceiver, entry: Mapping[str, Any], disposition: Disposition, cut: BaseException | None
) -> BaseException | None:
    if not entry["settled"]:
        unconfirmed = Unconfirmed("the settlement was sent, and no answer came")
        unconfirmed.__cause__ = cut
        return unconfirmed
    from azure.servicebus._pyamqp.receiver import check_disposition_outcome, outcome_name

    try:
        check_disposition_outcome(0, entry["outcome"], outcome_name(disposition))
    except Exception as error:  # noqa: BLE001 - it is what the service answered
        return _meant(receiver, error)
    return None


def _meant(receiver: ServiceBusReceiver, error: Exception) -> BaseException:
    """The SDK's public error for an internal one."""
    transport: Any = receiver._amqp_transport
    meant: BaseException = transport.create_servicebus_exception(_QUIET, error)
    return meant


class _Quiet:
    """A logger that says nothing: what is reported isn't logged as well."""

    def info(self, *_: object) -> None: ...

    def exception(self, *_: object) -> None: ...


_QUIET: Final = _Quiet()
