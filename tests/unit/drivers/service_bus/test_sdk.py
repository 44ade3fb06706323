"""The SDK's private parts that `sdk.py` and `opening.py` lean on are where they expect them."""

from __future__ import annotations

import inspect
import re

import pytest
from azure.servicebus import ServiceBusReceiver
from azure.servicebus._pyamqp import _connection, _transport, client, link, receiver
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport

from cloudq.drivers.service_bus import connections, sdk


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (ServiceBusReceiver, ["_open", "_do_retryable_operation", "_handle_exception", "_create_handler"]),
        (ServiceBusReceiver, ["_settle_message_via_mgmt_link", "_mgmt_request_response_with_retry"]),
        (client.ReceiveClient, ["client_ready", "open", "_message_received"]),
        (receiver.ReceiverLink, ["_outgoing_disposition", "_incoming_flow", "_incoming_disposition", "flow"]),
        (link.Link, ["_incoming_flow"]),
        (_connection.Connection, ["listen"]),
        (_transport._AbstractTransport, ["close"]),
        (PyamqpTransport, ["create_servicebus_exception", "AMQP_ARRAY_VALUE"]),
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


def test_a_dead_letter_says_why_in_the_services_own_words() -> None:
    """Reason and description are where the service looks for them, and further properties beside them."""
    made = sdk.dead_lettering("broken", "KeyError: 'x'", {"cloudq-failure": "{}"})
    assert made.error.condition == b"com.microsoft:dead-letter"
    assert made.error.info == {
        "DeadLetterReason": "broken",
        "DeadLetterErrorDescription": "KeyError: 'x'",
        "cloudq-failure": "{}",
    }


def test_a_connection_is_made_as_the_sdk_makes_it() -> None:
    """With all that it is told there, and nothing else."""
    told = re.compile(r"(\w+)=(?:self|handler)\.(\w+)")
    ours = told.findall(inspect.getsource(connections))
    theirs = told.findall(inspect.getsource(client.AMQPClient.open).partition("Connection(")[2].partition("open()")[0])
    assert sorted(ours) == sorted(theirs)
