"""The SDK's private parts that the driver leans on are where it expects them."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import socket
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusReceiver
from azure.servicebus._pyamqp import _connection, _transport, client, link, receiver, sender, session
from azure.servicebus._pyamqp._encode import encode_frame
from azure.servicebus._pyamqp.constants import (
    ConnectionState,
    LinkDeliverySettleReason,
    LinkState,
    TransportType,
)
from azure.servicebus._pyamqp.error import AMQPConnectionError, ErrorCondition
from azure.servicebus._pyamqp.performatives import FlowFrame
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.exceptions import ServiceBusConnectionError, ServiceBusError

from cloudq.drivers.service_bus import connections, deadlines, sdk
from cloudq.drivers.service_bus.sockets import TimelySocket


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (ServiceBusReceiver, ["_open", "_do_retryable_operation", "_handle_exception", "_create_handler"]),
        (ServiceBusReceiver, ["_settle_message_via_mgmt_link", "_mgmt_request_response_with_retry"]),
        (client.ReceiveClient, ["client_ready", "open", "_message_received"]),
        (client.SendClient, ["_on_send_complete"]),
        (sender.SenderLink, ["_outgoing_transfer", "send_transfer", "update_pending_deliveries"]),
        (session.Session, ["_outgoing_disposition"]),
        (_connection.Connection, ["_process_outgoing_frame"]),
        (
            receiver.ReceiverLink,
            ["_outgoing_disposition", "_incoming_flow", "_incoming_disposition", "flow", "_incoming_transfer"],
        ),
        (link.Link, ["_incoming_flow"]),
        (_connection.Connection, ["listen"]),
        (_transport._AbstractTransport, ["close", "write", "send_frame"]),
        (PyamqpTransport, ["create_servicebus_exception", "AMQP_ARRAY_VALUE", "mgmt_client_request"]),
        (PyamqpTransport, ["parse_received_message"]),
    ],
)
def test_a_private_part_is_there(owner: type, names: list[str]) -> None:
    """A newer SDK that has moved one fails here, and not at somebody's queue."""
    assert [name for name in names if not hasattr(owner, name)] == []


def test_no_credit_is_given_on_opening() -> None:
    """The SDK opens a link with one credit more than it is to prefetch, and no other way to say none."""
    source = inspect.getsource(ServiceBusReceiver._create_handler)
    assert "link_credit=self._prefetch_count + 1" in source
    assert "if self._prefetch_count != 0 else 5" in source


def test_a_connection_is_made_as_the_sdk_makes_it() -> None:
    """With all that it is told there, and nothing else."""
    told = re.compile(r"(\w+)=(?:self|handler)\.(\w+)")
    ours = told.findall(inspect.getsource(connections))
    theirs = told.findall(inspect.getsource(client.AMQPClient.open).partition("Connection(")[2].partition("open()")[0])
    assert sorted(ours) == sorted(theirs)


class Handler(SimpleNamespace):
    """As much of a handler as a read touches."""

    __hash__ = object.__hash__


class Reading:
    """As much of an open receiver as a read touches; its token is always about to end."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        transport = SimpleNamespace(sock=None)
        connection = SimpleNamespace(
            _transport=transport, _error=None, _last_frame_received_time=0.0, listen=lambda: self.steps.append("listen")
        )
        authenticator = SimpleNamespace(handle_token=lambda: self.steps.append("token"))
        link_ = SimpleNamespace(state=LinkState.ATTACHED, _error=None)
        self._handler = Handler(_connection=connection, _cbs_authenticator=authenticator, _link=link_)


def test_a_read_renews_the_token_when_it_is_time() -> None:
    """A link that is read for longer than its token lasts isn't cut for it."""
    receiver: Any = Reading()
    sdk.read(receiver)
    assert receiver.steps == ["token", "listen"]


def test_a_read_takes_all_the_frames_that_have_come() -> None:
    """With one call of the system. A frame that is there in part is left for the next read, which waits for it."""
    ours, services = socket.socketpair()
    with ours, services:
        transport = _transport.SSLTransport("localhost", socket_timeout=5)
        transport.sock, transport.connected = TimelySocket(ours), True
        connection = _connection.Connection("amqp://localhost", transport_type=TransportType.Amqp)
        connection._transport, connection.state = transport, ConnectionState.OPENED
        receiver: Any = Reading()
        receiver._handler._connection = connection
        came: list[int] = []
        flows = SimpleNamespace(_incoming_flow=lambda frame: came.append(frame[3]))
        connection._incoming_endpoints[0] = flows
        frames = b"".join(map(flow, range(4)))
        services.sendall(frames[:-3])
        began = time.monotonic()
        assert sdk.read(receiver, timedelta(seconds=60))
        assert time.monotonic() - began < 30
        assert [0, 1, 2] == came
        services.sendall(frames[-3:])
        assert sdk.read(receiver)
        assert [0, 1, 2, 3] == came
        assert not sdk.read(receiver)


def flow(window: int) -> bytes:
    """A flow frame of the session."""
    header, rest = encode_frame(FlowFrame(0, 1, 0, window))
    return header + bytes(2) + bytes(rest or b"")


REFUSED = [b"amqp:not-allowed", b"no", None]


def storing(monkeypatch: pytest.MonkeyPatch, *answers: object) -> Any:
    """A sender whose transfer is answered so by the reads that follow it; an exception is raised by one."""
    handler: Any = client.SendClient.__new__(client.SendClient)
    sent = SimpleNamespace(settled=False)
    left = list(answers)

    def send_transfer(message: object, *, on_send_complete: Any, send_async: bool) -> Any:
        sent.message, sent.tell = message, on_send_complete
        return sent

    def read(_: object) -> bool:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer != "nothing yet":
            with contextlib.suppress(KeyError):  # the SDK logs what its callback raises
                sent.tell(LinkDeliverySettleReason.DISPOSITION_RECEIVED, answer)
            sent.settled = True
        return True

    monkeypatch.setattr(sdk, "read", read)
    monkeypatch.setattr(sdk, "is_open", lambda _: True)
    handler._link = SimpleNamespace(send_transfer=send_transfer, update_pending_deliveries=lambda: None)
    handler._connection = object()
    translated = PyamqpTransport.create_servicebus_exception
    return SimpleNamespace(
        sent=sent,
        _handler=handler,
        _amqp_transport=PyamqpTransport,
        _handle_exception=lambda error: translated(logging.getLogger(), error, custom_endpoint_address=None),
    )


def test_a_batch_is_stored_once_the_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many reads that takes."""
    sender = storing(monkeypatch, "nothing yet", "nothing yet", {"accepted": []})
    batch = ServiceBusMessageBatch()
    batch.add_message(ServiceBusMessage("a"))
    sdk.store(sender, batch)
    assert list(batch._message) == list(sender.sent.message)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"rejected": [REFUSED]}, ServiceBusError),
        (None, ServiceBusError),
        ({"released": []}, sdk.Unconfirmed),
        ({}, sdk.Unconfirmed),
        (AMQPConnectionError(ErrorCondition.SocketError), ServiceBusConnectionError),
        (deadlines.NoAnswerInTime(), TimeoutError),
    ],
)
def test_a_batch_that_the_service_does_not_accept(
    answer: object, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one of which it says nothing: the caller has to hear of it."""
    with pytest.raises(error):
        sdk.store(storing(monkeypatch, answer), ServiceBusMessageBatch())


def renewing(answer: object) -> Any:
    """A receiver whose renewals are answered so."""
    transport = SimpleNamespace(AMQP_ARRAY_VALUE=list)
    session = SimpleNamespace(session_id="a", _locked_until_utc=None)
    return SimpleNamespace(
        _amqp_transport=transport, session=session, _mgmt_request_response_with_retry=lambda *_, **__: answer
    )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        {b"expirations": []},
        {b"expirations": [1_000]},
        {b"expirations": [1_000, None]},
        {b"expirations": 5},
    ],
)
def test_a_renewal_that_names_not_all(answer: object) -> None:
    """None of them counts as renewed: which the moments are of can't be known."""
    messages: Any = [SimpleNamespace(lock_token=number) for number in range(2)]
    with pytest.raises(sdk.Unconfirmed):
        sdk.renew(renewing(answer), messages)


@pytest.mark.parametrize("answer", [None, {}, {b"expiration": None}, {b"expiration": True}, {b"expiration": 2**70}])
def test_a_sessions_renewal_that_names_no_moment(answer: object) -> None:
    """Nor does it."""
    with pytest.raises(sdk.Unconfirmed):
        sdk.renew_session(renewing(answer))


def test_a_renewal_names_the_moments_in_order() -> None:
    """In milliseconds since 1970."""
    messages: Any = [SimpleNamespace(lock_token=number) for number in range(2)]
    got = sdk.renew(renewing({b"expirations": [1_000, 2_000]}), messages)
    assert [1.0, 2.0] == [moment.timestamp() for moment in got]
    assert 3.0 == sdk.renew_session(renewing({b"expiration": 3_000})).timestamp()
