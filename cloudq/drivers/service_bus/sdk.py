"""What the SDK can do and doesn't offer: credit that is taken back, locks renewed many at a time.

All uses of the SDK's private parts are in this file and in those that name it. They were written against
azure-servicebus 7.15.0; `tests/unit/drivers/service_bus/test_sdk.py` fails where a newer one has moved them.

* `receive_messages` waits 0.2 s for more once it has something, and leaves its credit with the service: the next
  messages are then locked to a receiver that nobody reads from. So credit is given and taken back here.
* Reads of a connection that wait as long as they are told to, and whose errors are the SDK's public ones.
* `send_messages` passes through ten functions, and looks into the environment for tracing three times.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from queue import Queue
from typing import Any, Final, TypeAlias

from azure.servicebus import (
    ServiceBusMessageBatch,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus._common import mgmt_handlers
from azure.servicebus._common.constants import (
    MGMT_REQUEST_LOCK_TOKENS,
    MGMT_REQUEST_SESSION_ID,
    MGMT_RESPONSE_MESSAGE_EXPIRATION,
    MGMT_RESPONSE_RECEIVER_EXPIRATION,
    REQUEST_RESPONSE_RENEW_SESSION_LOCK_OPERATION,
    REQUEST_RESPONSE_RENEWLOCK_OPERATION,
)
from azure.servicebus._pyamqp.constants import ConnectionState, LinkState, MessageDeliveryState
from azure.servicebus._pyamqp.error import (
    AMQPConnectionError,
    AMQPException,
    AuthenticationException,
    ErrorCondition,
)
from azure.servicebus._pyamqp.message import BatchMessage, _MessageDelivery
from azure.servicebus.exceptions import ServiceBusConnectionError

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.service_bus import connections, deadlines
from cloudq.drivers.service_bus.sockets import AHEAD, TimelySocket

Owner: TypeAlias = ServiceBusReceiver | ServiceBusSender

# How long one read waits for a frame, and so how long other callers wait for the connection.
READ: Final = timedelta(milliseconds=50)
_PAST: Final = timedelta(0)
_ALL: Final = AHEAD  # frames: none is shorter than a byte
_DELIVERY_COUNT: Final = 5  # its place in a flow frame

# What the SDK raises of its own accord where a connection is cut, and now and then as it is.
Cut = AMQPConnectionError


class Unconfirmed(Exception):
    """Something was sent and not answered, or not by name: it may or may not have been carried out."""


def store(sender: ServiceBusSender, batch: ServiceBusMessageBatch) -> None:
    """Sends a batch and waits for the service's word on it, as `send_messages` does where nothing is traced.

    Raises:
        ServiceBusError: It isn't stored, or the connection or the link is gone.
        Unconfirmed: What the service answered doesn't say so.
        TimeoutError: The call that this is part of has no time left.
    """
    if not is_open(sender):
        connections.open_owner(sender)
    handler: Any = sender._handler
    told = _MessageDelivery(BatchMessage(*batch._message))  # type: ignore[no-untyped-call]  # of the SDK
    tell = functools.partial(handler._on_send_complete, told)
    try:
        link = link_of(sender)
        sent = link.send_transfer(told.message, on_send_complete=tell, send_async=True)
        while not sent.settled:
            link.update_pending_deliveries()  # which sends what may be sent by now
            read(sender)
    except AMQPException as error:
        raise sender._handle_exception(error) from error
    if told.error is not None:
        raise public_error(sender, told.error)
    if told.state is not MessageDeliveryState.Ok:
        raise Unconfirmed("what was sent got an answer that says nothing of it")


def is_open(owner: Owner) -> bool:
    """Whether its link is attached and its connection not cut, as far as is known without reading."""
    handler: Any = owner._handler
    if not (owner._running and handler and handler._link and handler._link.state is LinkState.ATTACHED):
        return False
    connection = handler._connection
    # After a cut the link goes on saying that it is attached.
    return connection is not None and connection._error is None and connection.state is not ConnectionState.END


def give_credit(receiver: ServiceBusReceiver, count: int) -> None:
    """Gives the service credit for `count` messages."""
    link_of(receiver).flow(link_credit=count)


def read(owner: Owner, wait: timedelta = READ) -> bool:
    """Reads the next frame, if one comes in time, and those that came with it, and does what they say.

    Renews the connection's token when it is time.

    Returns:
        Whether one came, or a part of it.

    Raises:
        ServiceBusError: The connection or the link is gone, or the token isn't renewed.
        TimeoutError: The call that this is part of has no time left.
    """
    link = link_of(owner)
    handler: Any = owner._handler
    connection, authenticator = handler._connection, handler._cbs_authenticator
    before = connection._last_frame_received_time
    deadlines.left()  # a call that has no time left is no reason to close the link
    try:
        connections.follow_clock(handler)
        if authenticator is not None:
            # The SDK looks after its token, which lasts for an hour, only in its own way of reading.
            authenticator.handle_token()
        sock = connection._transport.sock
        with _patient(sock, wait):
            connection.listen()
            if isinstance(sock, TimelySocket) and sock.has_more:
                sock.until = _PAST  # the last frame may be there in part, and its rest is nothing to wait for
                connection.listen(batch=_ALL)
    except (AMQPConnectionError, AuthenticationException, TimeoutError) as cut:  # found cut before, or not let in
        keep_incoming(owner)
        raise owner._handle_exception(cut) from cut
    error = connection._error or link._error
    if error is None and link.state is LinkState.DETACHED:
        error = AMQPConnectionError(ErrorCondition.LinkDetachForced, description="the link was detached")
    if error is not None:
        keep_incoming(owner)
        raise owner._handle_exception(error)
    return bool(connection._last_frame_received_time != before or _partly_read(connection._transport))


def _partly_read(transport: Any) -> bool:
    """Whether the beginning of a frame waits for its end."""
    kept = getattr(transport, "_read_buffer", None)
    return kept is not None and len(kept.getbuffer()) > kept.tell()


@contextlib.contextmanager
def _patient(sock: socket.socket | TimelySocket | None, wait: timedelta) -> Iterator[None]:
    """Bounds each read of the socket by `wait`. The SDK's own argument does nothing, and its 0.2 s hold others up."""
    if sock is None:
        yield
        return
    before = sock.gettimeout()
    sock.settimeout(wait.total_seconds())
    if isinstance(sock, TimelySocket):
        sock.until = SYSTEM_CLOCK.elapsed() + wait  # or a frame whose bytes come one by one would be read to its end
    try:
        yield
    finally:
        if isinstance(sock, TimelySocket):
            sock.until = None
        with contextlib.suppress(OSError):  # it may be closed by now
            sock.settimeout(before)


@contextlib.contextmanager
def one_write(receiver: ServiceBusReceiver) -> Iterator[None]:
    """Sends the frames of the block together, at its end: to the system each is a call.

    Raises:
        OSError: Not all of them were sent.
    """
    handler: Any = receiver._handler
    transport = handler._connection._transport
    frames = bytearray()
    transport.write = frames.extend
    try:
        yield
    finally:
        del transport.write  # the class's own again
    if frames:
        transport.write(frames)


def incoming(receiver: ServiceBusReceiver) -> Any:
    """Where an open receiver's messages are when they were read."""
    return receiver._handler._received_messages


def keep_incoming(owner: Owner) -> None:
    """Has what was read outlast the connection: the SDK would try to release it when it closes, also one that is cut.

    A caller that has asked for `incoming` before still has it.
    """
    if isinstance(owner, ServiceBusReceiver) and owner._handler is not None:
        owner._handler._received_messages = Queue()


def take(receiver: ServiceBusReceiver, queue: Any) -> list[ServiceBusReceivedMessage]:
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
    link = link_of(receiver)
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
        until, last = SYSTEM_CLOCK.elapsed() + patience, connection._last_frame_received_time
        while not answered and SYSTEM_CLOCK.elapsed() < until:
            read(receiver)
            if connection._last_frame_received_time != last:
                until, last = SYSTEM_CLOCK.elapsed() + patience, connection._last_frame_received_time
    finally:
        del link._incoming_flow
    link.current_link_credit = 0
    return answered


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
    expirations = answer.get(MGMT_RESPONSE_MESSAGE_EXPIRATION) if isinstance(answer, dict) else None
    if not isinstance(expirations, Sequence) or len(expirations) != len(messages):
        raise Unconfirmed(f"the renewal of {len(messages)} locks was answered by {_said(expirations)}")
    return [_moment(milliseconds) for milliseconds in expirations]


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
    until = _moment(answer.get(MGMT_RESPONSE_RECEIVER_EXPIRATION) if isinstance(answer, dict) else None)
    receiver.session._locked_until_utc = until
    return until


def _moment(milliseconds: object) -> datetime:
    """The moment that an answer says, in milliseconds since 1970.

    Raises:
        Unconfirmed: It says none.
    """
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool):
        raise Unconfirmed(f"a renewal was answered by {_said(milliseconds)}, not by a time")
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unconfirmed(f"a renewal was answered by {milliseconds}, which is not a time") from error


def _said(answer: object) -> str:
    return f"{len(answer)} moments" if isinstance(answer, Sequence) else type(answer).__name__


def link_of(owner: Owner) -> Any:
    """The link itself.

    Raises:
        ServiceBusConnectionError: The SDK has closed it, because its connection was cut.
    """
    handler: Any = owner._handler
    link = None if handler is None else handler._link
    if link is None or handler._connection is None:
        raise ServiceBusConnectionError(message="the connection was cut")
    return link


def public_error(owner: Owner, error: Exception) -> BaseException:
    """The SDK's public error for an internal one."""
    transport: Any = owner._amqp_transport
    meant: BaseException = transport.create_servicebus_exception(_QUIET, error)
    return meant


class _Quiet:
    """A logger that says nothing: what is reported isn't logged as well."""

    def info(self, *_: object) -> None: ...

    def exception(self, *_: object) -> None: ...


_QUIET: Final = _Quiet()
