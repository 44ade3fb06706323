"""The SDK's connections and links: opened as fast as the service answers, read in bounded time, closed whole.

Private parts are used here, as in `sdk.py`. What the SDK does otherwise:

* It reads without any time limit while it opens a connection, and while it waits for a link or a token. A service (or a
  proxy before it) that accepts the connection and then sends nothing would block the caller forever. Here every read
  ends with the call that it is part of (see `deadlines`).
* It doesn't bound a name lookup, nor the reading of a frame of which a byte comes now and then.
* It sleeps for 50 ms between any two of the ten or so frames that opening takes.
* A frame that it can't parse raises any kind of exception, and the connection still counts as sound.
* It measures silence, and the rest of a token's life, by the wall clock. If that is set forward by an hour, each
  connection is cut as silent, and with it a session's lock ends.
* Its keep-alive thread reads from a connection that another thread may be reading from. A receiver with a negative
  prefetch has neither that thread nor credit when it opens.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from azure.servicebus import ServiceBusReceiver, ServiceBusSender
from azure.servicebus._pyamqp._connection import Connection
from azure.servicebus._pyamqp.error import AMQPConnectionError, AMQPException, ErrorCondition
from azure.servicebus._pyamqp.receiver import ReceiverLink
from azure.servicebus._servicebus_receiver import (  # type: ignore[attr-defined]  # private
    create_authentication,
)

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.drivers.service_bus import deadlines
from cloudq.drivers.service_bus.frames import write_frames, write_settlements, write_transfers
from cloudq.drivers.service_bus.sockets import TimelySocket, addresses
from cloudq.drivers.service_bus.unreadable import peek_everything, read_everything

# How long one wait for a link to be attached takes. The SDK asks again.
_READY: Final = timedelta(seconds=1)
# A clock that is further from where it should be was set; one that is nearer is being slewed.
_STEP: Final = 1.0

OwnerT = TypeVar("OwnerT", ServiceBusReceiver, ServiceBusSender)


# ── opening and closing ──────────────────────────────────────────────────────────────────────────────────


def prepare(owner: OwnerT) -> OwnerT:
    """A sender or receiver, not open yet, that opens as fast as the service answers, in bounded time."""
    private: Any = owner
    create = private._create_handler

    def create_handler(auth: object) -> None:
        create(auth)
        _mend(private._handler)
        is_ready = private._handler.client_ready

        def client_ready() -> bool:
            until = SYSTEM_CLOCK.elapsed() + _READY
            try:
                while not is_ready():
                    if SYSTEM_CLOCK.elapsed() > until:
                        return False  # the SDK asks again, or gives up
            except TimeoutError as error:
                raise _silent(error) from error
            return True

        private._handler.client_ready = client_ready

    private._create_handler = create_handler
    return owner


def without_credit(receiver: ServiceBusReceiver) -> ServiceBusReceiver:
    """A receiver, not open yet, that gets nothing it hasn't asked for and starts no thread."""
    receiver._prefetch_count = -1  # one more is its credit on opening
    return peek_everything(receiver)


def open_owner(owner: ServiceBusReceiver | ServiceBusSender) -> None:
    """Opens the connection and the link, if they aren't open, by the call's deadline."""
    patience = deadlines.left().total_seconds()
    owner._do_retryable_operation(owner._open, timeout=patience, operation_requires_timeout=True)


def accept_session(
    receiver: ServiceBusReceiver,
    *,
    cancelled: Callable[[], bool],
    asked: Callable[[], None],
    wait: timedelta,
    patience: timedelta,
    clock: Clock,
) -> timedelta | None:
    """Opens a receiver of the next session that has messages.

    The SDK's own way can't be ended early, and doesn't say when the service was asked.

    Args:
        receiver: A receiver that isn't open yet.
        cancelled: Called again and again: whether the session is no longer wanted.
        asked: Called once the service was asked, with the connection open.
        wait: For how long the service waits for a session.
        patience: How long an answer may take besides. If the service is silent for longer, the connection is dead.
        clock: Where the time of locks comes from.

    Returns:
        A moment, by `Clock.elapsed`, at which the session wasn't granted yet; `None` if it was cancelled before.

    Raises:
        ServiceBusError: The service can't be reached, or refuses; an `OperationTimeoutError` where no session came.
    """
    receiver._create_handler(create_authentication(receiver))
    handler: Any = receiver._handler
    _mend(handler)
    try:
        with deadlines.within(patience):
            handler.open(connection=None)
            while handler._link is None:
                if cancelled():
                    return None
                handler.client_ready()
        asked()
        since = clock.elapsed()
        with deadlines.within(wait + patience):
            while True:
                began, before = clock.elapsed(), handler._connection._last_frame_received_time
                if handler.client_ready():
                    break
                if cancelled():
                    return None
                if handler._connection._last_frame_received_time == before:
                    since = began  # until then nothing had come
    except TimeoutError as error:
        raise receiver._handle_exception(_silent(error)) from error
    except Exception as error:
        raise receiver._handle_exception(error) from error
    receiver._running = True
    return since


def close(owner: ServiceBusReceiver | ServiceBusSender) -> None:
    """Closes it, whatever state it is in. Errors of closing don't matter any more."""
    with contextlib.suppress(Exception):
        owner.close()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


def _mend(handler: Any) -> None:
    """Has a handler that isn't open yet open and read in bounded time, and close its socket in any case."""
    _open_in_time(handler)
    _close_socket(handler)
    complete = handler.auth_complete

    def auth_complete() -> bool:
        follow_clock(handler)
        done: bool = complete()
        return done

    handler.auth_complete = auth_complete
    ready, known = handler.client_ready, None

    def client_ready() -> bool:
        nonlocal known
        is_ready: bool = ready()
        link = handler._link
        if link is not None and link is not known:
            known = link
            if isinstance(link, ReceiverLink):
                read_everything(link)  # credit is given later, so that nothing has come by it yet
                write_settlements(link)
            else:
                write_transfers(link)
        return is_ready

    handler.client_ready = client_ready


def _open_in_time(handler: Any) -> None:
    open_ = handler.open

    def open_in_time(connection: Any = None) -> None:
        if connection is None and handler._connection is None:
            # As the SDK would make it.
            handler._connection = made = Connection(
                f"{'amqps' if handler._use_tls else 'amqp'}://{handler._hostname}",
                sasl_credential=handler._auth.sasl,
                ssl_opts=handler._ssl_opts,
                container_id=handler._name,
                max_frame_size=handler._max_frame_size,
                channel_max=handler._channel_max,
                idle_timeout=handler._idle_timeout,
                properties=handler._properties,
                network_trace=handler._network_trace,
                transport_type=handler._transport_type,
                http_proxy=handler._http_proxy,
                custom_endpoint_address=handler._custom_endpoint_address,
                socket_timeout=handler._socket_timeout,
                use_tls=handler._use_tls,
            )
            _bind_to_deadline(made._transport)
            write_frames(made._transport)
            _read_in_time(handler, made)
            try:
                made.open()
            except AMQPException:
                raise
            except Exception as error:
                # The SDK doesn't look whether an answer came, and which, before it reads in it.
                raise _silent(error) from error
        open_(connection=connection)

    handler.open = open_in_time


def _bind_to_deadline(transport: Any) -> None:
    """Makes a transport that isn't connected yet end its waits with the call, where the SDK's would never end."""
    connect, set_up = transport.connect, transport._setup_transport

    def connect_in_time() -> None:
        host, failed = transport.host, OSError("the host has no address")
        for address in addresses(host, transport.port):
            transport.connect_timeout = deadlines.left().total_seconds()
            transport.host = address
            try:
                connect()
            except OSError as error:
                failed = error
            else:
                return
            finally:
                transport.host = host
        raise failed

    def set_up_in_time() -> None:
        transport.sock.settimeout(deadlines.left().total_seconds())
        set_up()
        transport.sock = TimelySocket(transport.sock)

    @contextmanager
    def block() -> Iterator[Any]:
        sock = transport.sock
        before = sock.gettimeout()
        sock.settimeout(deadlines.left().total_seconds())
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):  # it may be closed by now
                sock.settimeout(before)

    transport.connect = connect_in_time
    transport._setup_transport = set_up_in_time
    transport.block = block


def _read_in_time(handler: Any, connection: Any) -> None:
    """Makes reads of a connection end with the call, and makes a frame that can't be parsed end the connection."""
    listen_ = connection.listen

    def listen(*arguments: Any, **options: Any) -> None:
        deadlines.left()
        follow_clock(handler)
        try:
            listen_(*arguments, **options)
        except (AMQPException, TimeoutError):
            raise
        except Exception as error:
            # Where the next frame begins can't be known any more.
            unreadable = AMQPConnectionError(
                ErrorCondition.SocketError, description=f"what came can't be read: {type(error).__name__}: {error}"
            )
            connection._error = unreadable
            raise unreadable from error

    connection.listen = listen


def _close_socket(handler: Any) -> None:
    """Has a handler close its socket also where the SDK found the connection cut: it would only be forgotten."""
    close_ = handler.close

    def close_all() -> None:
        connection = handler._connection
        try:
            close_()
        finally:
            if connection is not None:
                connection._transport.close()

    handler.close = close_all


def _silent(error: Exception) -> AMQPConnectionError:
    return AMQPConnectionError(
        ErrorCondition.SocketError, description=f"no answer came while the connection was opened: {error}"
    )


# ── the wall clock ───────────────────────────────────────────────────────────────────────────────────────

_offsets: Final[WeakKeyDictionary[Any, float]] = WeakKeyDictionary()


def follow_clock(handler: Any) -> None:
    """Where the wall clock was set, moves what the SDK noted by it as far: nothing has become older, or younger."""
    offset = time.time() - SYSTEM_CLOCK.elapsed().total_seconds()
    before = _offsets.get(handler, offset)
    _offsets[handler] = offset
    step = offset - before
    if abs(step) < _STEP:
        return
    for owner, names in (
        (handler._connection, ("_last_frame_received_time", "_last_frame_sent_time")),
        (handler._cbs_authenticator, ("_expires_on", "_token_put_time")),
    ):
        for name in names:
            noted = getattr(owner, name, None)
            if noted is not None:
                setattr(owner, name, type(noted)(noted + step))
